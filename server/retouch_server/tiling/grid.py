"""The grid of tiles that covers an image.

Along one axis, with three tiles (`|` = core border, `-` = window, `~` = where neighbours blend):

    image   0─────────────────────────────────────────────L
    cores   ├───────────────|───────────────|──────────────┤     cores partition the image
    windows ├--------------~~~--┤
                        ├--~~~------------~~~--┤                 windows have one size: tiles of different edits batch
                                        ├--~~~-------------┤

A core border lies in the middle of what the two windows share. They share at least 2 · halo there, and blend within `blend`
of the border, where both still see their whole receptive field: blend ≤ halo - receptive field. Only where a model makes them
disagree even there do they blend over all that both share.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from retouch_server.geometry import Rect, Span, ceil_div


@dataclass(frozen=True, slots=True)
class AxisTile:
    """A tile along one axis: core ⊆ reach ⊆ extent ⊆ window.

    reach: the core grown by how far the tile blends into its neighbours; extent: by how far where they disagree.
    """

    core: Span
    window: Span
    reach: Span
    extent: Span


@dataclass(frozen=True, slots=True)
class Tile:
    """One unit of model work: core ⊆ reach ⊆ window ⊆ image; cores partition the image."""

    index: int
    row: AxisTile
    column: AxisTile

    @property
    def core(self) -> Rect:
        return Rect.from_spans(self.row.core, self.column.core)

    @property
    def reach(self) -> Rect:
        return Rect.from_spans(self.row.reach, self.column.reach)

    @property
    def window(self) -> Rect:
        return Rect.from_spans(self.row.window, self.column.window)


@dataclass(frozen=True, slots=True)
class TileRow:
    """The tiles that share their rows, left to right."""

    row: AxisTile
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class TileGrid:
    """Tiles of an image of height × width px for a model that takes windows of `window` px.

    halo: context that each core keeps on its inner sides, px. blend: half the width of the seam's blending zone, px; at most
    the halo. multiple: windows start at multiples of it, so that a network which halves its input sees each pixel at the
    same phase in every window. Errors: ValueError when the window leaves no room for a core.
    """

    height: int
    width: int
    window: int
    halo: int
    blend: int
    multiple: int = 1

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ValueError(f"an image of {self.height}×{self.width} px has no tiles")
        if not 0 <= self.blend <= self.halo or self.window <= 2 * self.halo:
            raise ValueError(f"window {self.window}, halo {self.halo}, blend {self.blend}: need blend ≤ halo < window / 2")
        if self.window % self.multiple or self.window - 2 * self.halo < self.multiple:
            raise ValueError(
                f"window {self.window}, halo {self.halo}: need whole multiples of {self.multiple}, one between halos"
            )

    @cached_property
    def rows(self) -> tuple[AxisTile, ...]:
        return axis_tiles(self.height, self.window, self.halo, self.blend, self.multiple)

    @cached_property
    def columns(self) -> tuple[AxisTile, ...]:
        return axis_tiles(self.width, self.window, self.halo, self.blend, self.multiple)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __iter__(self) -> Iterator[TileRow]:
        """Rows of tiles, top to bottom."""
        for number, row in enumerate(self.rows):
            first = number * len(self.columns)
            yield TileRow(row, tuple(Tile(first + i, row, column) for i, column in enumerate(self.columns)))


def axis_tiles(length: int, window: int, halo: int, blend: int, multiple: int = 1) -> tuple[AxisTile, ...]:
    """Tiles along an axis of `length` px. Windows are `window` long (or `length`, when that is shorter) and evenly spread.

    The last one is shorter, by less than `multiple`, where it would not end with the image otherwise.

    >>> [(t.core.start, t.core.stop, t.window.start, t.window.stop) for t in axis_tiles(10, 6, 1, 0)]
    [(0, 5, 0, 6), (5, 10, 4, 10)]
    """
    image = Span(0, length)
    if length <= window:
        return (AxisTile(image, image, image, image),)
    # Windows with inner steps of at most window - 2·halo reach from 0 to length; both are counted in multiples.
    way, step = ceil_div(length - window, multiple), (window - 2 * halo) // multiple
    steps = ceil_div(way, step)
    starts = [i * way // steps * multiple for i in range(steps + 1)]
    borders = [(a + window + b) // 2 for a, b in pairwise(starts)]
    cores = [Span(a, b) for a, b in zip([0, *borders], [*borders, length], strict=True)]
    # Blending zones of one core's two borders must not meet.
    room = min(core.length for core in cores) // 2
    reach = min(blend, room)
    extent = min(room, *((a + window - b) // 2 for a, b in pairwise(starts)))
    return tuple(
        AxisTile(core, Span(start, start + window).clip(image), core.grow(reach).clip(image), core.grow(extent).clip(image))
        for core, start in zip(cores, starts, strict=True)
    )
