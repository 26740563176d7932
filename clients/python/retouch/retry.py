"""When a call is made again, and how long to wait before."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import grpc

from retouch.errors import ServiceError

T = TypeVar("T")
PASSING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED})


@dataclass(frozen=True, slots=True)
class Retry:
    """Exponential backoff with jitter, for UNAVAILABLE and RESOURCE_EXHAUSTED; the server's RetryInfo wins over the backoff.

    An edit is made again only while none of its output has been handed to the caller; its pixels are then sent anew.
    `sleep`, `clock` (seconds, monotonic) and `random` (0 to 1) are there to be replaced in tests.

    >>> Retry(jitter=0).delay_s(2, None)
    0.8
    """

    attempts: int = 4  # calls in all; 1: never again
    initial_backoff_s: float = 0.2
    max_backoff_s: float = 20.0
    jitter: float = 0.25  # share of the delay by which it may grow
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep, compare=False)
    clock: Callable[[], float] = field(default=time.monotonic, compare=False)
    random: Callable[[], float] = field(default=random.random, compare=False)

    def delay_s(self, failures: int, retry_after_s: float | None) -> float:
        """Seconds to wait after so many failures (from 0: the first). Jitter only ever adds, so a server's hint is kept."""
        backoff_s = min(self.max_backoff_s, self.initial_backoff_s * 2**failures)
        return (backoff_s if retry_after_s is None else retry_after_s) * (1 + self.jitter * self.random())

    def deadline(self, timeout_s: float | None) -> "Deadline":
        """A deadline from now on; it covers all attempts together."""
        return Deadline(self.clock, None if timeout_s is None else self.clock() + timeout_s)

    async def pause(self, failures: int, error: ServiceError, deadline: "Deadline") -> None:
        """Waits before the next attempt. Raises `error` where there is to be none: it is not a passing one, the attempts
        are used up, or the wait would outlast the deadline."""
        if error.code not in PASSING or failures + 1 >= self.attempts:
            raise error
        delay_s = self.delay_s(failures, error.retry_after_s)
        if deadline.at_s is not None and delay_s >= deadline.at_s - self.clock():
            raise error
        await self.sleep(delay_s)

    async def call(self, make: Callable[[float | None], Awaitable[T]], timeout_s: float | None) -> T:
        """The result of `make(remaining_s)`, made again where it fails for the moment."""
        deadline, failures = self.deadline(timeout_s), 0
        while True:
            try:
                return await make(deadline.remaining_s())
            except ServiceError as error:
                await self.pause(failures, error, deadline)
                failures += 1


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a clock, or never."""

    clock: Callable[[], float]
    at_s: float | None

    def remaining_s(self) -> float | None:
        """Seconds left, at least 0; None: no limit."""
        return None if self.at_s is None else max(0.0, self.at_s - self.clock())
