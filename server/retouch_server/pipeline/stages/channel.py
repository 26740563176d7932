"""Rows between two stages: bounded, so that a slow reader slows everything before it."""

import asyncio
from collections.abc import AsyncIterator

from retouch_server.imaging.rows import Band


class RowChannel:
    """Bands in order, fewer than `capacity` of them behind the writer's back.

    With a capacity of 1 a band is handed over: who wrote it goes on once the reader has done with it, and knows that its memory
    is no longer used here. A band can be a strip of 75 MB.
    """

    def __init__(self, capacity: int) -> None:
        self._queue: asyncio.Queue[Band | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(capacity - 1)

    async def put(self, band: Band) -> None:
        """Hands on the next band; returns once the reader has done with all but `capacity` - 1."""
        self._queue.put_nowait(band)
        del band
        await self._room.acquire()

    async def close(self) -> None:
        """No further band comes."""
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Band]:
        while (band := await self._queue.get()) is not None:
            yield band
            del band  # the reader has come back for the next one
            self._room.release()
