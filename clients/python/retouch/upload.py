"""Cutting an image into request tiles and sending them."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor

from retouch.geometry import Rect, Size
from retouch.pixels import CHANNELS, Pixels, PixelSource
from retouch.transport import EditStream
from retouch.wire import tile_message

TILE_BYTES = 640 << 10  # of pixels; leaves ample room below the 1 MiB that no message exceeds
MAX_STRIP_ROWS = 1024  # no tile may reach further below the first incomplete row
STRIPS_PER_BAND = 6  # a file is decoded so many tiles at once: about 4 MiB


def strip_rows(size: Size, channels: int) -> int:
    """Rows of a full-width strip; 0 where not even one fits into a message."""
    return min(MAX_STRIP_ROWS, TILE_BYTES // (size.width * channels))


def strips(size: Size, channels: int) -> Iterator[Rect]:
    """Rectangles that partition an image from top to bottom, each of at most 640 KiB: full-width strips of as many rows as
    fit, or pieces of single rows where not even one fits.

    >>> [str(rect) for rect in strips(Size(300, 1000), 3)]
    ['rows [0, 218) columns [0, 1000)', 'rows [218, 300) columns [0, 1000)']
    """
    rows = strip_rows(size, channels)
    if rows:
        for y in range(0, size.height, rows):
            yield Rect(y, 0, min(rows, size.height - y), size.width)
        return
    columns = TILE_BYTES // channels
    for y in range(size.height):
        for x in range(0, size.width, columns):
            yield Rect(y, x, 1, min(columns, size.width - x))


async def upload(stream: EditStream, source: PixelSource, executor: Executor, sent: Callable[[int], None]) -> None:
    """Sends all tiles and half-closes. `sent` hears how many rows are on their way. Holds two bands at a time: one being
    sent, one being decoded ahead in `executor` where the source blocks. Raises what `source.read` and `stream` raise."""
    channels = CHANNELS[source.pixel_format]
    band_rows = max(1, strip_rows(source.size, channels)) * STRIPS_PER_BAND
    tiles = strips(source.size, channels)
    ahead = _start_read(source, 0, band_rows, executor)
    tile = next(tiles)
    try:
        for y in range(0, source.size.height, band_rows):
            band = await _band(ahead)
            if y + band_rows < source.size.height:
                ahead = _start_read(source, y + band_rows, band_rows, executor)
            while tile is not None and tile.bottom <= y + len(band):
                rows = band[tile.y - y : tile.bottom - y, tile.x : tile.right]
                await stream.write(tile_message(tile, rows.data))
                sent(tile.bottom)
                tile = next(tiles, None)
    finally:
        if isinstance(ahead, asyncio.Future):
            await asyncio.wait([ahead])  # a thread cannot be interrupted; the file must stay open until it is out
            if not ahead.cancelled():
                ahead.exception()  # asked for, so that an unused band's error does not count as never retrieved
    await stream.done_writing()


def _start_read(source: PixelSource, y: int, rows: int, executor: Executor) -> "Pixels | asyncio.Future[Pixels]":
    height = min(rows, source.size.height - y)
    if not source.is_blocking:
        return source.read(y, height)
    return asyncio.get_running_loop().run_in_executor(executor, source.read, y, height)


async def _band(ahead: "Pixels | asyncio.Future[Pixels]") -> Pixels:
    return await asyncio.shield(ahead) if isinstance(ahead, asyncio.Future) else ahead
