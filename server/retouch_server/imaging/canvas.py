"""Where tiles become rows again.

A canvas takes the results of one row of tiles after the other. Within a row, tiles may come in any order: what only one tile
covers is copied, a zone that two cover is blended once both are there. A finished row of tiles (a strip) is blended with the
one above over the rows that both cover; all but its own last such rows are then final.

    strip n      ████████████████
                 ████████████████
                 ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓  ← kept until strip n + 1 is complete
    strip n + 1  ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓
                 ████████████████
"""

from collections.abc import Collection
from threading import Lock

import numpy as np

from retouch_server.geometry import Span
from retouch_server.imaging.blend import blend
from retouch_server.imaging.rows import Band, Pixels
from retouch_server.tiling import Tile, TileGrid, TileRow


class Strip:
    """The results of one row of tiles: the rows of its reach, full width, on the output's grid.

    `coming`: indices of the tiles that will be pasted. `background`: the reach rows at scale 1, (rows, width, channels), which
    stand for the tiles that are not coming; None when all are.
    """

    def __init__(
        self,
        grid: TileGrid,
        row: TileRow,
        scale: int,
        channels: int,
        coming: Collection[int],
        background: Pixels | None,
    ) -> None:
        self.row = row.row
        self._columns = grid.columns
        self._first = row.tiles[0].index
        self._coming = frozenset(coming)
        self._scale = scale
        self._sides: dict[int, Pixels] = {}  # number of a border → the side of it that came first
        self._lock = Lock()
        if background is None:
            # Pages of an uninitialised array cost no memory until they are written.
            self.pixels = np.empty((row.row.reach.length * scale, grid.width * scale, channels), np.uint8)
        else:
            self.pixels = background.copy() if self._coming else background

    def paste(self, tile: Tile, result: Pixels) -> None:
        """Takes the result for `tile.window`, (window.height × scale, window.width × scale, channels); keeps no reference.

        The order of pasting changes nothing; tiles of one strip may be pasted from several threads.
        """
        rows = tile.row.reach.shifted(-tile.row.window.start).scaled(self._scale).slice
        result = result[rows]
        number = tile.index - self._first
        own = tile.column.reach
        if number > 0:
            zone = Span(own.start, self._columns[number - 1].reach.stop)
            own = Span(zone.stop, own.stop)
            self._share(tile.index - 1, number, zone, self._cut(result, tile, zone), is_left=False)
        if number + 1 < len(self._columns):
            zone = Span(self._columns[number + 1].reach.start, own.stop)
            own = Span(own.start, zone.start)
            self._share(tile.index + 1, number + 1, zone, self._cut(result, tile, zone), is_left=True)
        self._columns_of(own)[...] = self._cut(result, tile, own)

    def _share(self, neighbour: int, border: int, zone: Span, side: Pixels, *, is_left: bool) -> None:
        """Blends `side` over `zone` with the neighbour's, or keeps it until that comes."""
        if neighbour in self._coming:
            with self._lock:
                other = self._sides.pop(border, None)
                if other is None:
                    self._sides[border] = side.copy()
                    return
        else:
            other = self._columns_of(zone)
        self._columns_of(zone)[...] = blend(side, other, axis=1) if is_left else blend(other, side, axis=1)

    def _columns_of(self, span: Span) -> Pixels:
        return self.pixels[:, span.scaled(self._scale).slice]

    def _cut(self, result: Pixels, tile: Tile, span: Span) -> Pixels:
        return result[:, span.shifted(-tile.column.window.start).scaled(self._scale).slice]


class Canvas:
    """Joins complete strips, top to bottom, and gives up rows as soon as they are final."""

    def __init__(self, scale: int) -> None:
        self._scale = scale
        self._kept: Band | None = None  # the last rows of the strip above, which the next one covers too

    def add(self, strip: Strip, next_reach_start: int | None) -> list[Band]:
        """Takes the next complete strip and returns the bands that are final now, on the output's grid.

        next_reach_start: where the strip below begins, in input rows; None when this is the last.
        """
        start = strip.row.reach.start * self._scale
        pixels = strip.pixels
        bands: list[Band] = []
        if self._kept is not None:
            shared = self._kept.pixels.shape[0]
            if shared:
                bands.append(Band(start, blend(self._kept.pixels, pixels[:shared], axis=0)))
            pixels, start = pixels[shared:], start + shared
        if next_reach_start is None:
            self._kept = None
        else:
            final = next_reach_start * self._scale - start
            # A copy: a view would hold the whole strip in memory until the next one is done.
            self._kept = Band(start + final, pixels[final:].copy())
            pixels = pixels[:final]
        if pixels.shape[0]:
            bands.append(Band(start, pixels))
        return bands
