"""Where results are kept: what a store promises, and the one in this process."""

from typing import Protocol

from retouch_server.cache.lru import Lru
from retouch_server.cache.value import Value


class ResultStore(Protocol):
    """Keeps results by key for a while. It may forget any of them at any time, and never gives back another one."""

    async def get(self, key: bytes) -> Value | None:
        """What was put under `key`; None where there is nothing. Errors: StoreFault."""
        ...

    async def put(self, key: bytes, value: Value) -> None:
        """Keeps `value`. Errors: StoreFault."""
        ...

    async def close(self) -> None:
        """Gives everything back."""
        ...


class StoreFault(Exception):  # noqa: N818 - a word of the domain, as in errors.py
    """The store does not answer, or not as it should. Never shown to a client: a result is then computed."""


class MemoryStore:
    """In this process, up to a budget of bytes; what was used longest ago goes first."""

    def __init__(self, budget_bytes: int) -> None:
        self._values: Lru[bytes, Value] = Lru(budget_bytes)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._values.nbytes

    async def get(self, key: bytes) -> Value | None:
        return self._values.get(key)

    async def put(self, key: bytes, value: Value) -> None:
        self._values.put(key, value, len(key) + len(value))

    async def close(self) -> None:
        """Nothing to give back."""
