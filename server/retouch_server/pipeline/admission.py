"""Who may start: a budget of pixels in flight, and a bounded queue before it."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from retouch_server.errors import ClientBudgetExceeded, Draining, Overloaded
from retouch_server.telemetry.metrics import Metrics
from retouch_server.telemetry.tracing import traced

RETRY_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """budget_px: pixels in flight (an image larger than that is admitted alone). queue: edits that may wait."""

    budget_px: int = 400_000_000
    queue: int = 64
    client_budget_px: int = 0
    """Pixels that one client may have in flight or waiting; 0: no such limit."""


@dataclass(eq=False, slots=True)
class _Waiter:
    pixels: int
    admitted: asyncio.Future[None]


class Admission:
    """First come, first served. Errors are raised at once rather than after a wait: a full queue is an answer."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._waiting: deque[_Waiter] = deque()
        self._clients: Counter[str] = Counter()
        self._is_draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.in_flight = 0
        self.in_flight_px = 0
        metrics.in_flight_pixels_budget.set(limits.budget_px)

    @property
    def queued_px(self) -> int:
        return sum(waiter.pixels for waiter in self._waiting)

    @asynccontextmanager
    async def admit(self, pixels: int, client: str = "") -> AsyncGenerator[None]:
        """Holds `pixels` of the budget inside the `async with`; waits in the queue for them.

        Errors: Draining, Overloaded, ClientBudgetExceeded.
        """
        if self._is_draining:
            raise _draining()
        limit = self._limits.client_budget_px
        if limit and self._clients[client] and self._clients[client] + pixels > limit:
            held = self._clients[client]
            raise ClientBudgetExceeded(
                f"this client has {held} px in flight; with {pixels} px more it would exceed its {limit} px", RETRY_AFTER_S
            )
        if not self._fits(pixels) and len(self._waiting) >= self._limits.queue:
            raise Overloaded(
                f"{len(self._waiting)} edits are waiting already, which is the limit; try again later", RETRY_AFTER_S
            )
        self._clients[client] += pixels
        try:
            await self._enter(pixels)
            try:
                yield
            finally:
                self._leave(pixels)
        finally:
            self._clients[client] -= pixels
            if not self._clients[client]:
                del self._clients[client]

    async def drain(self) -> None:
        """Takes nothing new, sends away those that wait, and returns once the last edit has ended."""
        self._is_draining = True
        for waiter in self._waiting:
            if not waiter.admitted.done():
                waiter.admitted.set_exception(_draining())
        await self._idle.wait()

    @traced("admission")
    async def _enter(self, pixels: int) -> None:
        if self._fits(pixels):
            self._take(pixels)
            return
        waiter = _Waiter(pixels, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._report()
        try:
            await waiter.admitted
        except BaseException:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                self._admit_waiting()
            elif not waiter.admitted.cancelled() and waiter.admitted.exception() is None:
                self._leave(pixels)  # admitted and cancelled in the same turn of the loop
            raise

    def _fits(self, pixels: int) -> bool:
        return not self._waiting and (not self.in_flight or self.in_flight_px + pixels <= self._limits.budget_px)

    def _take(self, pixels: int) -> None:
        self.in_flight += 1
        self.in_flight_px += pixels
        self._idle.clear()
        self._report()

    def _leave(self, pixels: int) -> None:
        self.in_flight -= 1
        self.in_flight_px -= pixels
        self._admit_waiting()
        if not self.in_flight:
            self._idle.set()
        self._report()

    def _admit_waiting(self) -> None:
        while self._waiting:
            first = self._waiting[0]
            if first.admitted.done():
                self._waiting.popleft()
            elif not self.in_flight or self.in_flight_px + first.pixels <= self._limits.budget_px:
                self._waiting.popleft()
                self._take(first.pixels)
                first.admitted.set_result(None)
            else:
                break
        self._report()

    def _report(self) -> None:
        self._metrics.edits_in_flight.set(self.in_flight)
        self._metrics.in_flight_pixels.set(self.in_flight_px)
        self._metrics.edits_queued.set(len(self._waiting))
        self._metrics.queued_pixels.set(self.queued_px)


def _draining() -> Draining:
    return Draining("this server is shutting down; another one will answer", RETRY_AFTER_S)
