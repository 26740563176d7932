"""A store that is elsewhere, kept from harm: lost, it costs next to nothing; slow, it costs no more than its time limit.

Reads end after a time limit, and then count as "not there". Writes happen beside the edit. After a few failures in a row the
store is left alone for a while (a circuit breaker: Nygard, "Release It!", 2007), then asked once to see whether it is back.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from retouch_server.cache.store import ResultStore, StoreFault
from retouch_server.cache.value import Value

log = logging.getLogger(__name__)

FAILURES = 3
"""In a row, after which the store is left alone."""
REST_S = 5.0
"""For how long."""
WRITING_BYTES = 64 * 1024 * 1024
"""Of results on their way to the store; those that come while there are as many are not kept."""


@dataclass(slots=True)
class Breaker:
    """Whether something that may be away is asked at all."""

    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    asks_again_s: float = 0.0

    def asks(self) -> bool:
        """Whether to ask now. After a rest one question goes through; the others wait for how it ends."""
        if self.failures < FAILURES:
            return True
        now_s = self.clock()
        if now_s < self.asks_again_s:
            return False
        self.asks_again_s = now_s + REST_S
        return True

    def worked(self) -> bool:
        """It answered; whether that is news."""
        was_resting, self.failures = self.failures >= FAILURES, 0
        return was_resting

    def failed(self) -> bool:
        """It did not; whether it is left alone from now on."""
        self.failures += 1
        self.asks_again_s = self.clock() + REST_S
        return self.failures == FAILURES


class GuardedStore:
    """A ResultStore whose methods never fail, and return within `timeout_s`."""

    def __init__(
        self,
        store: ResultStore,
        timeout_s: float,
        on_failure: Callable[[str], None] = lambda operation: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_failure` is told of each operation, "get" or "put", that the store failed at or that was left out."""
        self._store, self._timeout_s, self._on_failure = store, timeout_s, on_failure
        self._breaker = Breaker(clock)
        self._writing: set[asyncio.Task[None]] = set()
        self._writing_bytes = 0

    async def get(self, key: bytes) -> Value | None:
        """What was put under `key`; None also where the store did not say in time."""
        if not self._breaker.asks():
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                value = await self._store.get(key)
        except (StoreFault, TimeoutError) as error:
            self._failed("get", error)
            return None
        self._worked()
        return value

    async def put(self, key: bytes, value: Value) -> None:
        """Begins to write, and does not wait for it."""
        if not self._breaker.asks():
            return
        if self._writing_bytes + len(value) > WRITING_BYTES:
            self._on_failure("put")
            return
        self._writing_bytes += len(value)
        task = asyncio.create_task(self._put(key, value))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        """Waits for the writes under way, within their time limit."""
        await asyncio.gather(*self._writing)
        await self._store.close()

    async def _put(self, key: bytes, value: Value) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._store.put(key, value)
        except (StoreFault, TimeoutError) as error:
            self._failed("put", error)
        else:
            self._worked()
        finally:
            self._writing_bytes -= len(value)

    def _worked(self) -> None:
        if self._breaker.worked():
            log.info("the store of results answers again")

    def _failed(self, operation: str, error: Exception) -> None:
        self._on_failure(operation)
        if self._breaker.failed():
            log.warning("the store of results is left alone for a while: %s", error or type(error).__name__)
