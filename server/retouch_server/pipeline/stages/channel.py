"""Rows between two stages: bounded, so that a slow reader slows everything before it."""

import asyncio
from collections.abc import AsyncIterator

from retouch_server.imaging.rows import Band


class RowChannel:
    """Bands in order, at most `capacity` of them waiting."""

    def __init__(self, capacity: int) -> None:
        self._queue: asyncio.Queue[Band | None] = asyncio.Queue(capacity)

    async def put(self, band: Band) -> None:
        """Hands on the next band; waits while the channel is full."""
        await self._queue.put(band)

    async def close(self) -> None:
        """No further band comes."""
        await self._queue.put(None)

    async def __aiter__(self) -> AsyncIterator[Band]:
        while (band := await self._queue.get()) is not None:
            yield band
