"""A backend without a model server, for tests of whatever stands on a backend: shipped with the real one."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from retouch_server.models.backend import Array, Call
from retouch_server.models.spec import ModelSpec

Function = Callable[[Mapping[str, Array]], Mapping[str, Array]]


class FakeBackend:
    """Runs `models` (name → spec and function) in this process.

    `faults` are raised by the next calls, one each (None: that call goes well); `calls` records each call's model.
    `gate`, where given, is awaited before each answer, so that a test decides which call ends when.
    """

    def __init__(
        self,
        models: Mapping[str, tuple[ModelSpec, Function]],
        faults: Iterable[Exception | None] = (),
        gate: Callable[[Call], asyncio.Future[None]] | None = None,
    ) -> None:
        self._models = dict(models)
        self.faults = deque(faults)
        self.calls: list[str] = []
        self.running = 0
        self.most_running = 0
        self._gate = gate

    async def specs(self) -> list[ModelSpec]:
        return [spec for spec, _ in self._models.values()]

    @asynccontextmanager
    async def infer(self, call: Call, *, turn: int = 0) -> AsyncGenerator[Mapping[str, Array]]:
        self.calls.append(call.model)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            fault = self.faults.popleft() if self.faults else None
            await (asyncio.sleep(0) if self._gate is None else self._gate(call))
            if fault is not None:
                raise fault
            yield self._models[call.model][1](call.inputs)
        finally:
            self.running -= 1

    async def close(self) -> None:
        """Nothing to give back."""
