"""Model calls with retries: the same call, on another replica, never a silent substitute."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from retouch_server.errors import ModelFault, ModelUnavailable
from retouch_server.models.backend import Array, Call, ModelBackend
from retouch_server.telemetry.metrics import Metrics
from retouch_server.telemetry.tracing import annotate, event, exemplar, span

Slot = Callable[[], AbstractAsyncContextManager[None]]
"""Holds a place at the models, for which it may have to wait."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter. The defaults outlast the restart of a local Triton (about 10 s)."""

    attempts: int = 12
    first_s: float = 0.1
    most_s: float = 4.0
    fault_attempts: int = 2
    """A model that answers wrongly is asked so often: once more, on another replica."""

    def delay_s(self, attempt: int) -> float:
        """How long to wait after attempt number `attempt` (from 0) failed."""
        return random.uniform(0.5, 1.0) * min(self.most_s, self.first_s * 2**attempt)


class Models(Protocol):
    """What the pipeline calls models through."""

    def infer(
        self, call: Call, on_retry: Callable[[], None] = lambda: None
    ) -> AbstractAsyncContextManager[Mapping[str, Array]]:
        """Runs `call`; outputs are valid, and read-only, inside. `on_retry` is told of each further attempt.

        Errors: ModelUnavailable, ModelFault.
        """
        ...


class Dispatcher:
    """Calls models through a backend and retries what failed. `metrics` are told how long each call took."""

    def __init__(
        self,
        backend: ModelBackend,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        metrics: Metrics | None = None,
    ) -> None:
        self._backend = backend
        self._metrics = metrics
        self._policy = policy or RetryPolicy()
        self._sleep = sleep
        self._turns: Counter[str] = Counter()  # calls of a model go to its replicas in turn, and each attempt to the next one

    @asynccontextmanager
    async def infer(
        self, call: Call, on_retry: Callable[[], None] = lambda: None, slot: Slot = nullcontext
    ) -> AsyncGenerator[Mapping[str, Array]]:
        """Runs `call`; outputs are valid inside. `on_retry` is told of each further attempt; each is made inside a `slot`.

        Errors: ModelUnavailable, ModelFault after the last attempt. What is raised inside the `async with` is not retried.
        """
        with span(f"call {call.model}", model=call.model):
            attempt, outputs = await self._answer(call, on_retry, slot)
        async with attempt:
            yield outputs

    async def _answer(self, call: Call, on_retry: Callable[[], None], slot: Slot) -> tuple[AsyncExitStack, Mapping[str, Array]]:
        """The first attempt that goes well, under way, and its outputs."""
        attempt = 0
        first_turn = self._turns[call.model]
        self._turns[call.model] += 1
        while True:
            try:
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(slot())
                    began_s = time.monotonic()
                    outputs = await stack.enter_async_context(self._backend.infer(call, turn=first_turn + attempt))
                    _check_outputs(call, outputs)
                    if self._metrics is not None:
                        seconds = self._metrics.model_call_seconds.labels(model=call.model)
                        seconds.observe(time.monotonic() - began_s, exemplar())
                    annotate(attempts=attempt + 1)
                    return stack.pop_all(), outputs
            except (ModelUnavailable, ModelFault) as error:
                attempt += 1
                event("attempt failed", attempt=attempt, error=str(error))
                most = self._policy.attempts if isinstance(error, ModelUnavailable) else self._policy.fault_attempts
                if attempt >= most:
                    raise
                on_retry()
                await self._sleep(self._policy.delay_s(attempt - 1))


@dataclass(frozen=True, slots=True)
class InSlots:
    """Models that are called inside slots."""

    dispatcher: Dispatcher
    slot: Slot

    def infer(
        self, call: Call, on_retry: Callable[[], None] = lambda: None
    ) -> AbstractAsyncContextManager[Mapping[str, Array]]:
        """As `Models.infer`."""
        return self.dispatcher.infer(call, on_retry, self.slot)


def _check_outputs(call: Call, outputs: Mapping[str, Array]) -> None:
    """Whether the answer has the shapes and types that the call expects. Errors: ModelFault."""
    for name, expected in call.outputs.items():
        got = outputs.get(name)
        if got is None or got.shape != expected.shape or got.dtype != expected.dtype:
            what = "missing" if got is None else f"{got.dtype} {list(got.shape)}"
            wanted = f"{np.dtype(expected.dtype)} {list(expected.shape)}"
            raise ModelFault(call.model, f"output {name!r} is {what}, expected {wanted}")
