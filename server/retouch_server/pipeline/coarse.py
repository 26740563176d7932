"""Holes too large for a window: which they are, and from how far around each is filled first. Pure data, from the mask.

image  ┌───────────────────────┐      The crop around a deep hole is filled from the proxy, shrunk to one window of the
       │    ┌─ crop ─────┐     │      model. That fill, enlarged, is the guide of all windows that touch the hole.
       │    │   ▒▒▒▒▒    │     │
       │    │   ▒▒▒▒▒▒   │     │
       │    └────────────┘     │
       └───────────────────────┘
"""

from collections.abc import Collection
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect, Span, ceil_div
from retouch_server.pipeline.regions import RegionMap
from retouch_server.tiling import TileGrid

DEEP = 0.25
"""Share of a window. A hole with a pixel farther than this from all that is known is deep: the windows that share it see too
little of its surroundings, or each another side of them, to fill it alike."""
COVERED = 0.99
MARGIN_PX = 16
"""The guide reaches so far beyond the mask: a stain beside it is filled, too."""
LEAST_REACH = 0.25
"""Share of a window that a crop shows around its hole, at least; the hole's longer side where that is more."""


@dataclass(frozen=True, slots=True)
class Coarse:
    """The deep holes of a stage.

    holes: (rows, columns) int32 on square cells of `cell_px` image px: 0 outside, else the number of the hole, from 1.
    masked: the same grid, all that is masked, of whatever region: nothing to fill from.
    crops: of each hole, in image px.
    """

    cell_px: int
    holes: NDArray[np.int32]
    masked: NDArray[np.bool_]
    crops: tuple[Rect, ...]

    def over(self, rect: Rect) -> NDArray[np.int32]:
        """The number of the hole at each pixel of `rect`, (height, width) int32; 0: none."""
        return self.holes[np.ix_(cells_of(rect.rows, self.cell_px), cells_of(rect.columns, self.cell_px))]

    def numbers(self, rect: Rect) -> list[int]:
        """The numbers of the holes in `rect`."""
        rows, columns = (slice(s.start // self.cell_px, ceil_div(s.stop, self.cell_px)) for s in (rect.rows, rect.columns))
        return [int(number) for number in np.unique(self.holes[rows, columns]) if number]


def cells_of(span: Span, cell_px: int) -> NDArray[np.intp]:
    """The cell of each pixel of `span`, along one axis."""
    return np.arange(span.start, span.stop) // cell_px


def find_coarse(regions: RegionMap, labels: Collection[int], grid: TileGrid) -> Coarse | None:
    """The deep holes among the regions `labels` of the image that `grid` tiles; None when there are none.

    A hole that lies within every window with a share in it is not deep. None, too, where the mask leaves nothing to fill from.
    """
    masked = np.isin(regions.labels, sorted(labels))
    covered = masked & (regions.coverage >= COVERED)
    if covered.all():
        return None
    depth_px = np.asarray(cv2.distanceTransform(covered.astype(np.uint8), cv2.DIST_L2, 5), np.float32) * regions.cell_px
    parts = np.asarray(cv2.connectedComponents(masked.astype(np.uint8), connectivity=8)[1], np.int32)
    found: list[tuple[NDArray[np.bool_], Rect]] = []
    for part in np.unique(parts[depth_px > DEEP * grid.window]):
        grown = _grown(parts == part, MARGIN_PX, regions.cell_px)
        bounds = _bounds(parts == part, regions.cell_px, grid)
        if not _is_seen_whole(bounds, grid):
            found.append((grown, bounds))
    if not found:
        return None
    holes = np.zeros(parts.shape, np.int32)
    for number, (grown, _) in enumerate(found, start=1):
        holes[grown & (holes == 0)] = number
    return Coarse(regions.cell_px, holes, regions.labels > 0, tuple(_crop(bounds, grid) for _, bounds in found))


def _grown(cells: NDArray[np.bool_], margin_px: int, cell_px: int) -> NDArray[np.bool_]:
    return cv2.dilate(cells.astype(np.uint8), np.ones((2 * ceil_div(margin_px, cell_px) + 1,) * 2, np.uint8)) > 0


def _bounds(hole: NDArray[np.bool_], cell_px: int, grid: TileGrid) -> Rect:
    """The bounding box of a hole's cells, in image px."""
    spans: list[Span] = []
    for axis, length in ((1, grid.height), (0, grid.width)):
        taken = np.flatnonzero(hole.any(axis=axis))
        spans.append(Span(int(taken[0]) * cell_px, int(taken[-1] + 1) * cell_px).clip(Span(0, length)))
    return Rect.from_spans(*spans)


def _is_seen_whole(bounds: Rect, grid: TileGrid) -> bool:
    """Whether every window with a share in the hole shows all of it."""
    return all(
        along.window.start <= span.start and span.stop <= along.window.stop
        for span, tiles in ((bounds.rows, grid.rows), (bounds.columns, grid.columns))
        for along in tiles
        if along.extent.start < span.stop and span.start < along.extent.stop
    )


def _crop(bounds: Rect, grid: TileGrid) -> Rect:
    """The hole's bounds grown on each side by their longer side, as far as there is an image."""
    reach_px = max(bounds.height, bounds.width, round(LEAST_REACH * grid.window))
    rows, columns = bounds.rows.grow(reach_px), bounds.columns.grow(reach_px)
    return Rect.from_spans(rows.clip(Span(0, grid.height)), columns.clip(Span(0, grid.width)))
