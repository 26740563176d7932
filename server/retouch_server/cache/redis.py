"""Results in Redis, shared by replicas. The only module that imports redis."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from retouch_server.cache.store import StoreFault
from retouch_server.cache.value import Value

PREFIX = b"retouch:result:"


class RedisStore:
    """A ResultStore in Redis, whose `maxmemory` and eviction policy (allkeys-lru) bound it.

    A value carries its key: whatever lies under a name that is not ours, or comes as the answer to another question, is
    no result. Does not wait long and does not retry: see `guard.py`.
    """

    def __init__(self, url: str, *, keep_s: float, timeout_s: float) -> None:
        """`url`: `redis://user:password@host:port/0`, or rediss:// with TLS. keep_s: how long a result is kept.

        Does not connect. Errors: ValueError for a URL that is none.
        """
        self._keep_ms = max(1, round(keep_s * 1000))
        self._redis: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - **kwargs without a type
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0), protocol=2
        )

    async def get(self, key: bytes) -> bytes | None:
        try:
            value = await self._redis.get(PREFIX + key)
        except (RedisError, OSError) as error:
            raise StoreFault(str(error)) from error
        if value is None:
            return None
        if not isinstance(value, bytes) or not value.startswith(key):
            raise StoreFault("what Redis holds under the name of a result is none")
        return value[len(key) :]

    async def put(self, key: bytes, value: Value) -> None:
        try:
            await self._redis.set(PREFIX + key, key + value, px=self._keep_ms)
        except (RedisError, OSError) as error:
            raise StoreFault(str(error)) from error

    async def close(self) -> None:
        await self._redis.aclose()
