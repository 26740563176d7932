"""Models whose results are kept: a call that was made before is answered without the model."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from math import prod

import numpy as np

from retouch_server.cache.key import key_of
from retouch_server.cache.store import ResultStore
from retouch_server.models.backend import Array, Call, Output, Recalled
from retouch_server.models.dispatch import Models
from retouch_server.models.spec import ModelSpec
from retouch_server.telemetry.metrics import Metrics


class CachedModels:
    """Models in front of which stands a store of results.

    Only models that say that they are deterministic, and that have a digest, are asked for twice what they answered once.
    """

    def __init__(
        self,
        models: Models,
        store: ResultStore,
        spec_of: Callable[[str], ModelSpec | None],
        executor: Executor,
        metrics: Metrics,
    ) -> None:
        """`spec_of` gives what is served under a name now. Keys and copies are made on `executor`."""
        self._models, self._store, self._spec_of = models, store, spec_of
        self._executor, self._metrics = executor, metrics

    @asynccontextmanager
    async def infer(self, call: Call, on_retry: Callable[[], None] = lambda: None) -> AsyncGenerator[Mapping[str, Array]]:
        """As `Models.infer`; the outputs are `Recalled` where no model ran."""
        spec = self._spec_of(call.model)
        if spec is None or not spec.is_deterministic or not spec.digest:
            async with self._models.infer(call, on_retry) as outputs:
                yield outputs
            return
        loop = asyncio.get_running_loop()
        key = await loop.run_in_executor(self._executor, key_of, call, spec)
        value = await self._store.get(key)
        recalled = None if value is None else unpack(value, call.outputs)
        self._metrics.cached_results.labels(model=spec.name, outcome="miss" if recalled is None else "hit").inc()
        if recalled is not None:
            yield recalled
            return
        async with self._models.infer(call, on_retry) as outputs:
            packing = loop.run_in_executor(self._executor, pack, outputs, call.outputs)
            try:
                value = await asyncio.shield(packing)
            except asyncio.CancelledError:
                await asyncio.wait([packing])  # it reads the outputs, which are valid only in here
                raise
            if self._spec_of(call.model) == spec:  # not while the model is replaced by another one
                await self._store.put(key, value)
            yield outputs


def pack(outputs: Mapping[str, Array], expected: Mapping[str, Output]) -> bytes:
    """The outputs that a call expects, one after the other in the order of their names."""
    return b"".join(np.ascontiguousarray(outputs[name]).reshape(-1).view(np.uint8).data for name in sorted(expected))


def unpack(value: bytes, expected: Mapping[str, Output]) -> Recalled | None:
    """What `pack` made `value` of, as read-only views of it; None where that cannot be."""
    sizes = {name: prod(output.shape) * np.dtype(output.dtype).itemsize for name, output in expected.items()}
    if sum(sizes.values()) != len(value):
        return None
    found, at = Recalled(), 0
    for name in sorted(expected):
        found[name] = np.ndarray(expected[name].shape, expected[name].dtype, value, at)
        at += sizes[name]
    return found
