"""A store that fails, hangs or comes back costs little and breaks nothing."""

import asyncio
import time

import pytest

from retouch_server.cache import guard
from retouch_server.cache.guard import Breaker, GuardedStore
from retouch_server.cache.store import MemoryStore, StoreFault


class Moody:
    """A store that does as it is told: answers, fails or hangs."""

    def __init__(self) -> None:
        self.inner, self.mood, self.asked = MemoryStore(1000), "answers", 0

    async def get(self, key: bytes) -> bytes | None:
        await self._do()
        return await self.inner.get(key)

    async def put(self, key: bytes, value: bytes) -> None:
        await self._do()
        await self.inner.put(key, value)

    async def close(self) -> None:
        self.mood = "closed"

    async def _do(self) -> None:
        self.asked += 1
        if self.mood == "fails":
            raise StoreFault("connection refused")
        if self.mood == "hangs":
            await asyncio.Event().wait()


async def settled() -> None:
    """Lets writes under way end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_gives_back_what_was_put() -> None:
    store = GuardedStore(Moody(), 1.0)
    assert await store.get(b"k") is None
    await store.put(b"k", b"v")
    await settled()
    assert await store.get(b"k") == b"v"


async def test_one_that_hangs_costs_its_time_limit_a_few_times() -> None:
    moody, failures = Moody(), list[str]()
    moody.mood = "hangs"
    store = GuardedStore(moody, 0.02, failures.append)
    began_s = time.monotonic()
    assert [await store.get(b"k") for _ in range(100)] == [None] * 100
    assert time.monotonic() - began_s < 1.0
    assert (moody.asked, failures) == (guard.FAILURES, ["get"] * guard.FAILURES)


async def test_one_that_is_lost_is_left_alone_and_asked_again() -> None:
    now = [100.0]
    moody, failures = Moody(), list[str]()
    store = GuardedStore(moody, 1.0, failures.append, lambda: now[0])
    await store.put(b"k", b"v")
    await settled()
    moody.mood, moody.asked = "fails", 0
    for _ in range(10):
        assert await store.get(b"k") is None
        await store.put(b"k", b"w")
        await settled()
    assert moody.asked == guard.FAILURES
    now[0] += guard.REST_S
    assert await store.get(b"k") is None  # asked once, in vain
    assert await store.get(b"k") is None
    assert moody.asked == guard.FAILURES + 1
    moody.mood = "answers"
    assert await store.get(b"k") is None  # not yet
    now[0] += guard.REST_S
    assert await store.get(b"k") == b"v"
    assert await store.get(b"k") == b"v"
    assert len(failures) == guard.FAILURES + 1


async def test_writes_are_not_waited_for_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "WRITING_BYTES", 10)
    moody, failures = Moody(), list[str]()
    moody.mood = "hangs"
    store = GuardedStore(moody, 0.2, failures.append)
    began_s = time.monotonic()
    for _ in range(3):
        await store.put(b"k", b"four")
    assert time.monotonic() - began_s < 0.1
    assert failures == ["put"]  # the third
    await store.close()  # waits for the two, as long as they may take
    assert failures == ["put"] * 3
    assert moody.mood == "closed"


def test_a_success_in_between_is_no_failure_in_a_row() -> None:
    breaker = Breaker(lambda: 0.0)
    for _ in range(5):
        assert not breaker.failed()
        assert not breaker.failed()
        assert not breaker.worked()
        assert breaker.asks()
    assert [breaker.failed() for _ in range(3)] == [False, False, True]
    assert not breaker.asks()
    assert breaker.worked()
    assert breaker.asks()
