"""Who holds a band between two stages: memory is what they hand over."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator

import numpy as np
import pytest

from retouch_server.imaging.rows import Band, RowBuffer
from retouch_server.pipeline.stages.channel import RowChannel


def band(y: int) -> Band:
    return Band(y, np.full((1, 4, 3), y, np.uint8))


async def written(channel: RowChannel, number: int, log: list[int]) -> None:
    for y in range(number):
        await channel.put(band(y))
        log.append(y)
    await channel.close()


@pytest.mark.parametrize("capacity", [1, 2, 4])
async def test_a_writer_is_fewer_than_capacity_bands_ahead(capacity: int) -> None:
    channel, log = RowChannel(capacity), list[int]()
    writing = asyncio.create_task(written(channel, 9, log))
    read = 0
    async for got in channel:
        for _ in range(5):
            await asyncio.sleep(0)  # all that the writer can do
        assert got.y == read
        assert len(log) == min(9, read + capacity - 1)
        read += 1
    await writing
    assert (read, log) == (9, list(range(9)))


async def test_a_channel_holds_no_band_that_was_read() -> None:
    channel = RowChannel(1)
    writing = asyncio.create_task(written(channel, 2, []))
    bands: AsyncIterator[Band] = aiter(channel)
    kept = weakref.ref((await anext(bands)).pixels)
    await anext(bands)
    gc.collect()
    assert kept() is None
    await anext(bands, None)
    await writing


@pytest.mark.parametrize(("first", "is_copied"), [(0, False), (1, False), (5, True)])
def test_a_buffer_keeps_no_strip_for_the_sake_of_some_of_its_rows(first: int, is_copied: bool) -> None:
    strip = np.zeros((10, 4, 3), np.uint8)
    buffer = RowBuffer()
    buffer.append(Band(0, strip[first:]))
    assert np.shares_memory(buffer.rows(Band(0, strip[first:]).rows), strip) is not is_copied
