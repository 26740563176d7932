"""A Redis for those tests that need one."""

from collections.abc import Iterator

import pytest

from tests.support import redis


@pytest.fixture
def server() -> Iterator[redis.RedisServer]:
    if redis.PROGRAM is None:
        pytest.skip("Redis is not installed: Debian's package is `redis-server`")
    with redis.redis_server() as server:
        yield server
