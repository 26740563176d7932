"""Results that are kept, by what they depend on: of windows, and of single calls of models."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from retouch_server.cache.key import key_of
from retouch_server.cache.store import ResultStore
from retouch_server.cache.value import Value, nbytes_of, pack, unpack
from retouch_server.models.backend import Array, Call
from retouch_server.models.dispatch import Models
from retouch_server.models.spec import ModelSpec
from retouch_server.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Place:
    """Where the result of some work is kept. key: b"" where it is not; value: None where it is not known."""

    key: bytes = b""
    value: Value | None = None


class Results:
    """What models made, in a store.

    Only models that say that they are deterministic, and that have a digest, are asked for twice what they answered once.
    """

    def __init__(
        self, store: ResultStore, spec_of: Callable[[str], ModelSpec | None], executor: Executor, metrics: Metrics
    ) -> None:
        """`spec_of` gives what is served under a name now. Keys and copies are made on `executor`."""
        self._store, self._spec_of, self._executor, self._metrics = store, spec_of, executor, metrics

    async def find(self, spec: ModelSpec, work: object, nbytes: int) -> Place:
        """Where the result of `work` by a model is kept. work: everything that it depends on beside the model and this code,
        in a form that `key.canonical` knows. A value of another length than `nbytes` is none."""
        if not spec.is_deterministic or not spec.digest:
            return Place()
        key = await asyncio.get_running_loop().run_in_executor(self._executor, key_of, work, spec)
        value = await self._store.get(key)
        if value is not None and len(value) != nbytes:
            value = None
        self._metrics.cached_results.labels(model=spec.name, outcome="miss" if value is None else "hit").inc()
        return Place(key, value)

    async def keep(self, spec: ModelSpec, place: Place, value: Value) -> None:
        """Keeps what came of the work for which `place` was found; not while the model is replaced by another one."""
        if place.key and self._spec_of(spec.name) == spec:
            await self._store.put(place.key, value)

    def answering(self, models: Models) -> Models:
        """`models`, of which those calls are answered from here whose results are known."""
        return _CachedModels(models, self, self._spec_of, self._executor)


@dataclass(frozen=True, slots=True)
class _CachedModels:
    """Models in front of which stand results."""

    models: Models
    results: Results
    spec_of: Callable[[str], ModelSpec | None]
    executor: Executor

    @asynccontextmanager
    async def infer(self, call: Call, on_retry: Callable[[], None] = lambda: None) -> AsyncGenerator[Mapping[str, Array]]:
        """As `Models.infer`."""
        spec = self.spec_of(call.model)
        place = await self.results.find(spec, call, sum(map(nbytes_of, call.outputs.values()))) if spec else Place()
        if place.value is not None:
            yield unpack(place.value, call.outputs)
            return
        async with self.models.infer(call, on_retry) as outputs:
            if spec is not None and place.key:
                packing = asyncio.get_running_loop().run_in_executor(self.executor, pack, outputs, call.outputs)
                try:
                    value = await asyncio.shield(packing)
                except asyncio.CancelledError:
                    await asyncio.wait([packing])  # it reads the outputs, which are valid only in here
                    raise
                await self.results.keep(spec, place, value)
            yield outputs
