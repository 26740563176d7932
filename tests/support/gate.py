"""A hand on FakeBackend: which model calls may end, and when."""

import asyncio
from collections.abc import Awaitable

from retouch_server.models.backend import Call


class Gate:
    """Open at first: calls end at once. `close` holds those that come; `open` lets all go on."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._arrival = asyncio.Event()
        self._closed_for: frozenset[str] = frozenset()
        self.held = 0

    def close(self, *models: str) -> None:
        """Holds calls of `models`; of every model when none is named."""
        self._closed_for = frozenset(models)
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def reached(self, count: int, timeout_s: float = 20) -> None:
        """Returns once `count` calls are held at the same time."""
        async with asyncio.timeout(timeout_s):
            while self.held < count:
                self._arrival.clear()
                await self._arrival.wait()

    def __call__(self, call: Call) -> Awaitable[None]:
        return self._hold(call)

    async def _hold(self, call: Call) -> None:
        if self._open.is_set() or (self._closed_for and call.model not in self._closed_for):
            await asyncio.sleep(0)
            return
        self.held += 1
        self._arrival.set()
        try:
            await self._open.wait()
        finally:
            self.held -= 1
