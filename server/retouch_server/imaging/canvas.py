"""Where tiles become rows again.

A canvas takes the results of one row of tiles after the other. Within a row, tiles may come in any order: what only one tile
covers is copied, a zone that two cover is joined once both are there. A finished row of tiles (a strip) is joined with the
one above over the rows that both cover; all but its own last such rows are then final.

Two sides of a border blend within their reach, where both know their surroundings. Where they disagree even so, as the windows
of a model that invents do, they blend over their whole extent. A tile that did not run is known within its reach only.

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
from retouch_server.imaging.blend import Joint, join
from retouch_server.imaging.rows import Band, Pixels
from retouch_server.tiling import Tile, TileGrid, TileRow


class Strip:
    """The results of one row of tiles: the rows of its extent, full width, on the output's grid.

    `coming`: indices of the tiles that will be pasted. `background`: the extent's rows at scale 1, (rows, width, channels),
    which stand for the tiles that are not coming; None when all are.
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
        self.runs = [tile.index in self._coming for tile in row.tiles]
        self.joints: dict[int, Joint] = {}
        """Number of each border between two tiles that ran → what became of it."""
        self._scale = scale
        self._sides: dict[int, Pixels] = {}  # number of a border → the side of it that came first
        self._lock = Lock()
        if background is None:
            # Pages of an uninitialised array cost no memory until they are written.
            self.pixels = np.empty((row.row.extent.length * scale, grid.width * scale, channels), np.uint8)
        else:
            self.pixels = background.copy() if self._coming else background

    def paste(self, tile: Tile, result: Pixels) -> None:
        """Takes the result for `tile.window`, (window.height × scale, window.width × scale, channels); keeps no reference.

        The order of pasting changes nothing; tiles of one strip may be pasted from several threads.
        """
        rows = tile.row.extent.shifted(-tile.row.window.start).scaled(self._scale).slice
        result = result[rows]
        number = tile.index - self._first
        own = tile.column.core
        if number > 0:
            zone = self.zone(number)
            own = Span(zone.stop, own.stop)
            self._share(tile.index - 1, number, self._cut(result, tile, zone), is_left=False)
        if number + 1 < len(self._columns):
            zone = self.zone(number + 1)
            own = Span(own.start, zone.start)
            self._share(tile.index + 1, number + 1, self._cut(result, tile, zone), is_left=True)
        self._columns_of(own)[...] = self._cut(result, tile, own)

    @property
    def skipped(self) -> list[slice]:
        """Columns of the tiles that did not run, as far as they reach, on the output's grid."""
        return [column.reach.scaled(self._scale).slice for column, ran in zip(self._columns, self.runs, strict=True) if not ran]

    def zone(self, border: int) -> Span:
        """The columns that tiles `border - 1` and `border` of this strip may blend over."""
        left, right = self._columns[border - 1], self._columns[border]
        if self.runs[border - 1] and self.runs[border]:
            return Span(right.extent.start, left.extent.stop)
        return Span(right.reach.start, left.reach.stop)

    def _share(self, neighbour: int, border: int, side: Pixels, *, is_left: bool) -> None:
        """Joins `side` with the neighbour's, or keeps it until that comes."""
        zone = self.zone(border)
        out = self._columns_of(zone)
        if neighbour in self._coming:
            with self._lock:
                other = self._sides.pop(border, None)
                if other is None:
                    self._sides[border] = side.copy()
                    return
        else:
            other = out.copy()
        first, second = (side, other) if is_left else (other, side)
        margin = (self._columns[border].reach.start - zone.start) * self._scale
        joint = join(first, second, axis=1, margin=margin, out=out)
        if neighbour in self._coming:
            self.joints[border] = joint

    def _columns_of(self, span: Span) -> Pixels:
        return self.pixels[:, span.scaled(self._scale).slice]

    def _cut(self, result: Pixels, tile: Tile, span: Span) -> Pixels:
        return result[:, span.shifted(-tile.column.window.start).scaled(self._scale).slice]


class Canvas:
    """Joins complete strips, top to bottom, and gives up rows as soon as they are final."""

    def __init__(self, scale: int) -> None:
        self.joint: Joint | None = None
        """What became of the border above the strip that came last; None where there was none."""
        self._scale = scale
        self._kept: Band | None = None  # the last rows of the strip above, which the next one covers too
        self._kept_skipped: list[slice] = []

    def add(self, strip: Strip, next_start: int | None) -> list[Band]:
        """Takes the next complete strip and returns the bands that are final now, on the output's grid.

        next_start: where the extent of the strip below begins, in input rows; None when this is the last.
        """
        start = strip.row.extent.start * self._scale
        pixels = strip.pixels
        bands: list[Band] = []
        self.joint = None
        if self._kept is not None:
            shared = self._kept.pixels.shape[0]
            if shared:
                self.joint = self._join(self._kept.pixels, strip)
                bands.append(self._kept)
            pixels, start = pixels[shared:], start + shared
        if next_start is None:
            self._kept = None
        else:
            final = next_start * self._scale - start
            # A copy: a view would hold the whole strip in memory until the next one is done.
            self._kept, self._kept_skipped = Band(start + final, pixels[final:].copy()), strip.skipped
            pixels = pixels[:final]
        if pixels.shape[0]:
            bands.append(Band(start, pixels))
        return bands

    def _join(self, above: Pixels, strip: Strip) -> Joint:
        """Joins the rows kept from the strip above with the first ones of `strip`, in place."""
        below = strip.pixels[: above.shape[0]]
        margin = (strip.row.reach.start - strip.row.extent.start) * self._scale
        if margin and strip.skipped:
            below = below.copy()
        # Beyond its reach a tile that did not run is not known: there the other side stands for it.
        for columns in strip.skipped:
            below[:margin, columns] = above[:margin, columns]
        for columns in self._kept_skipped:
            above[above.shape[0] - margin :, columns] = below[below.shape[0] - margin :, columns]
        return join(above, below, axis=0, margin=margin, out=above)
