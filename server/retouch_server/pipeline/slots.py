"""Which edit's window goes to the models next.

What is sent to models that are busy waits in their queues, first come, first served: then when an edit ends depends on who
comes after it, which nobody knows when it starts. Where the models share one machine their windows can wait here instead, and
a slot that becomes free goes to the edit that is most behind what it was told: that which is late by the largest share of its
own time. Lateness in shares rather than in seconds is what keeps a small edit from waiting for a large one (stretch: Bender,
Chakrabarti, Muthukrishnan, "Flow and Stretch Metrics for Scheduling Continuous Job Streams", SODA 1998).
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Protocol


class Told(Protocol):
    """An edit that was told how long it takes."""

    def behind(self) -> float:
        """The share of its work that is left, less the share of its time that is left."""
        ...


class Slots:
    """`count` windows may be at the models at once; 0: any number. `on_wait` is told how many wait here."""

    def __init__(self, count: int = 0, on_wait: Callable[[int], None] = lambda waiting: None) -> None:
        self._count = count
        self._on_wait = on_wait
        self._taken = 0
        self._waiting: dict[Told, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def slot(self, edit: Told) -> AsyncGenerator[None]:
        """Inside, a window of `edit` is at the models."""
        if not self._count:
            yield
            return
        await self._enter(edit)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, edit: Told) -> None:
        if self._taken < self._count and not self._waiting:
            self._taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(edit, deque()).append(turn)
        self._tell()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(edit, turn)
            else:  # it was given the slot, and cancelled in the same turn of the loop
                self._leave()
            raise

    def _leave(self) -> None:
        self._taken -= 1
        while self._waiting and self._taken < self._count:
            edit = max(self._waiting, key=lambda edit: edit.behind())
            turn = self._waiting[edit][0]
            self._forget(edit, turn)
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    def _forget(self, edit: Told, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(edit, deque())
        if turn in turns:
            turns.remove(turn)
        if not turns:
            self._waiting.pop(edit, None)
        self._tell()

    def _tell(self) -> None:
        self._on_wait(sum(map(len, self._waiting.values())))
