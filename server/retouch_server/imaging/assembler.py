"""Tiles in any cut, rows out: the server's side of an upload."""

from collections import deque
from collections.abc import Iterator

import numpy as np

from retouch_server.errors import BadField, BadSequence
from retouch_server.geometry import Rect, Span
from retouch_server.imaging.rows import Band, Pixels

LOOKAHEAD_ROWS = 1024
"""How far below the first incomplete row a tile may reach; it bounds the memory of an upload."""
BLOCK_ROWS = 64


class _Block:
    """Rows that are being filled."""

    def __init__(self, rows: Span, width: int, channels: int) -> None:
        self.rows = rows
        self.pixels = np.empty((rows.length, width, channels), np.uint8)
        self.covered = np.zeros((rows.length, width), np.bool_)
        self.missing_px = rows.length * width


class RowAssembler:
    """Puts an image of (height, width, channels) together from tiles that partition it, and gives up rows once they are whole.

    Full-width tiles in order pass through without a copy. Memory: O(width × LOOKAHEAD_ROWS).
    """

    def __init__(self, height: int, width: int, channels: int) -> None:
        self._image = Rect(0, 0, height, width)
        self.channels = channels
        self._blocks: deque[_Block] = deque()
        self._next_row = 0  # the first row not yet given up

    @property
    def is_complete(self) -> bool:
        return self._next_row == self._image.height

    def check(self, rect: Rect) -> None:
        """Whether a tile at `rect` may come now. Errors: BadField when it is empty, outside the image, or too far ahead."""
        where = f"rows {rect.y} to {rect.bottom}, columns {rect.x} to {rect.right}"
        if rect.area == 0:
            raise BadField("tile.rect", f"an empty tile ({rect.height}×{rect.width}); send at least one pixel")
        if not self._image.contains(rect):
            size = f"{self._image.height}×{self._image.width}"
            raise BadField("tile.rect", f"{where} lies outside the image of {size} px")
        if rect.bottom > self._next_row + LOOKAHEAD_ROWS and rect.bottom > self._first_incomplete() + LOOKAHEAD_ROWS:
            raise BadField(
                "tile.rect",
                f"{where} reaches more than {LOOKAHEAD_ROWS} rows below row {self._first_incomplete()}, the first that is "
                "incomplete; "
                "send tiles so that rows complete from top to bottom",
            )
        if rect.y < self._next_row:
            raise BadField("tile.rect", f"{where} was sent before; tiles partition the image")

    def add(self, rect: Rect, pixels: Pixels) -> Iterator[Band]:
        """Takes the tile `pixels` (rect.height, rect.width, channels) and yields the bands that it completes.

        Errors: BadField as in `check`, and when the tile covers a pixel that another covered.
        """
        self.check(rect)
        if not self._blocks and rect.y == self._next_row and rect.width == self._image.width:
            self._next_row = rect.bottom
            yield Band(rect.y, pixels)
            return
        self._extend(rect.bottom)
        for block in self._blocks:
            shared = block.rows.clip(rect.rows)
            if not shared.length:
                continue
            inside = (shared.shifted(-block.rows.start).slice, rect.columns.slice)
            if block.covered[inside].any():
                raise BadField("tile.rect", f"rows {shared.start} to {shared.stop} overlap a tile sent before")
            block.covered[inside] = True
            block.pixels[inside] = pixels[shared.shifted(-rect.y).slice]
            block.missing_px -= shared.length * rect.width
        while self._blocks and self._blocks[0].missing_px == 0:
            block = self._blocks.popleft()
            self._next_row = block.rows.stop
            yield Band(block.rows.start, block.pixels)

    def finish(self) -> None:
        """The client sends no more. Errors: BadSequence when pixels are missing."""
        if not self.is_complete:
            raise BadSequence(
                "tile",
                f"the stream ended before row {self._next_row} was complete; the image has {self._image.height} rows",
            )

    def _first_incomplete(self) -> int:
        """The first row that misses a pixel: rows of the first block may be whole before the block is."""
        if not self._blocks:
            return self._next_row
        return self._next_row + int(np.argmin(self._blocks[0].covered.all(axis=1)))

    def _extend(self, bottom: int) -> None:
        stop = self._blocks[-1].rows.stop if self._blocks else self._next_row
        while stop < bottom:
            rows = Span(stop, min(stop + BLOCK_ROWS, self._image.height))
            self._blocks.append(_Block(rows, self._image.width, self.channels))
            stop = rows.stop
