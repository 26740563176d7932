"""Results in a real Redis: kept, shared, forgotten in time, never mixed up; and Redis away, hanging or killed."""

import asyncio
import random
import time

import pytest
from redis.asyncio import Redis

from retouch_server.cache.guard import GuardedStore
from retouch_server.cache.redis import PREFIX, RedisStore
from retouch_server.cache.store import ResultStore, StoreFault
from tests.support.processes import free_port
from tests.support.redis import RedisServer, redis_server

KEYS = [bytes([number]) * 32 for number in range(8)]


def opened(server: RedisServer, keep_s: float = 60, timeout_s: float = 5) -> RedisStore:
    return RedisStore(server.url, keep_s=keep_s, timeout_s=timeout_s)


async def becomes(store: ResultStore, value: bytes | None) -> None:
    """Waits until the first key has that value."""
    async with asyncio.timeout(10):
        while await store.get(KEYS[0]) != value:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.01)


async def test_what_one_replica_puts_another_one_gets(server: RedisServer) -> None:
    one, other = opened(server), opened(server)
    assert await one.get(KEYS[0]) is None
    value = random.Random(1).randbytes(3_000_000)
    await one.put(KEYS[0], value)
    await one.put(KEYS[1], b"")
    assert await other.get(KEYS[0]) == value
    assert await other.get(KEYS[1]) == b""
    assert await other.get(KEYS[2]) is None
    await one.close()
    await other.close()


async def test_a_result_is_kept_for_so_long(server: RedisServer) -> None:
    store = opened(server, keep_s=0.05)
    await store.put(KEYS[0], b"v")
    await becomes(store, None)
    await store.close()


async def test_what_somebody_else_put_there_is_no_result(server: RedisServer) -> None:
    store, other = opened(server), Redis.from_url(server.url)
    await store.put(KEYS[1], b"value")
    await other.copy(PREFIX + KEYS[1], PREFIX + KEYS[0])
    with pytest.raises(StoreFault, match="is none"):
        await store.get(KEYS[0])
    await other.delete(PREFIX + KEYS[0])
    await other.lpush(PREFIX + KEYS[0], "a list")
    with pytest.raises(StoreFault):
        await store.get(KEYS[0])
    assert await store.get(KEYS[1]) == b"value"
    await store.close()
    await other.aclose()


async def test_reads_that_are_given_up_mix_up_nothing(server: RedisServer) -> None:
    """An answer that nobody waits for any more must not become the answer to the next question."""
    store, draw = opened(server), random.Random(3)
    for key in KEYS:
        await store.put(key, key * 20_000)

    async def read(key: bytes) -> None:
        try:
            async with asyncio.timeout(draw.choice([0.0005, 0.002, 5])):
                assert await store.get(key) == key * 20_000
        except (TimeoutError, StoreFault):
            pass

    for _ in range(60):
        await asyncio.gather(*(read(draw.choice(KEYS)) for _ in range(8)))
    for key in KEYS:
        assert await store.get(key) == key * 20_000
    await store.close()


async def test_without_redis_nothing_is_known_and_nothing_fails() -> None:
    store = RedisStore(f"redis://127.0.0.1:{free_port()}/0", keep_s=60, timeout_s=1)
    with pytest.raises(StoreFault):
        await store.get(KEYS[0])
    with pytest.raises(StoreFault):
        await store.put(KEYS[0], b"v")
    guarded = GuardedStore(store, 1.0)
    await guarded.put(KEYS[0], b"v")
    assert await guarded.get(KEYS[0]) is None
    await guarded.close()


async def test_a_redis_that_hangs_costs_its_time_limit(server: RedisServer) -> None:
    failures: list[str] = []
    guarded = GuardedStore(opened(server, timeout_s=0.1), 0.1, failures.append)
    await guarded.put(KEYS[0], b"v")
    await becomes(guarded, b"v")
    server.pause()
    began_s = time.monotonic()
    assert [await guarded.get(KEYS[0]) for _ in range(50)] == [None] * 50
    assert time.monotonic() - began_s < 2.0
    server.resume()
    assert failures == ["get"] * 3
    await guarded.close()


async def test_a_redis_that_is_killed_and_comes_back(server: RedisServer) -> None:
    now = [0.0]
    guarded = GuardedStore(opened(server, timeout_s=1), 1.0, clock=lambda: now[0])
    await guarded.put(KEYS[0], b"v")
    await becomes(guarded, b"v")
    server.kill()
    assert [await guarded.get(KEYS[0]) for _ in range(20)] == [None] * 20
    with redis_server(server.port):
        now[0] += 60
        assert await guarded.get(KEYS[0]) is None  # it has forgotten all, but it answers
        await guarded.put(KEYS[0], b"w")
        await becomes(guarded, b"w")
        await guarded.close()
