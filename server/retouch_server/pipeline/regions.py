"""The connected parts of a mask, and masks cut down to some of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect, ceil_div
from retouch_server.imaging.mask import Mask

MOST_CELLS = 1024
LEAST_CELL_PX = 4
GAP_SHARE = 0.02
"""Parts of a mask closer than this share of the image's longer side are one region: the letters of a word, say."""


@dataclass(frozen=True, slots=True)
class RegionMap:
    """Regions on a grid of square cells of `cell_px` px.

    labels: (rows, columns) int32; 0 where no pixel of the cell is masked, else 1 to the number of regions, largest first.
    coverage: (rows, columns) float32, share of each cell that is masked. bounds: of each region, in image px.
    """

    cell_px: int
    labels: NDArray[np.int32]
    coverage: NDArray[np.float32]
    bounds: tuple[Rect, ...]
    areas_px: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.bounds)

    def shrunken(self, height: int, width: int) -> NDArray[np.uint8]:
        """The mask on a grid of (height, width) that covers the same image: 255 where all of a pixel is masked."""
        shares = cv2.resize(self.coverage, (width, height), interpolation=cv2.INTER_AREA)
        return np.rint(shares * 255).astype(np.uint8)


def find_regions(mask: Mask) -> RegionMap:
    """Regions of `mask`. Every masked pixel, however faint, lies in exactly one."""
    longer = max(mask.height, mask.width)
    cell_px = LEAST_CELL_PX
    while longer > cell_px * MOST_CELLS:
        cell_px *= 2
    occupied = mask.occupancy(cell_px)
    coverage = mask.coverage(cell_px)
    gap_cells = round(longer * GAP_SHARE / cell_px)
    kernel = np.ones((gap_cells | 1, gap_cells | 1), np.uint8)
    joined = cv2.dilate(occupied.astype(np.uint8), kernel)
    count, labels = cv2.connectedComponents(joined, connectivity=8)
    labels = np.where(occupied, labels, 0).astype(np.int32)
    areas = np.bincount(labels.ravel(), weights=coverage.ravel().astype(np.float64), minlength=count) * cell_px**2
    order = sorted(range(1, count), key=lambda label: (-areas[label], label))
    renumbered = np.zeros(count, np.int32)
    renumbered[order] = np.arange(1, len(order) + 1)
    bounds = bounds_of(labels, count, mask, cell_px)
    return RegionMap(
        cell_px=cell_px,
        labels=renumbered[labels],
        coverage=coverage,
        bounds=tuple(bounds[label] for label in order),
        areas_px=tuple(max(1, round(float(areas[label]))) for label in order),
    )


def bounds_of(labels: NDArray[np.int32], count: int, mask: Mask, cell_px: int) -> list[Rect]:
    """The bounding box of each label below `count`, in image px, to the cell; label 0 has none to speak of."""
    rows, columns = np.nonzero(labels)
    found = labels[rows, columns]
    top, left = np.full(count, labels.shape[0]), np.full(count, labels.shape[1])
    bottom, right = np.zeros(count, int), np.zeros(count, int)
    np.minimum.at(top, found, rows)
    np.minimum.at(left, found, columns)
    np.maximum.at(bottom, found, rows + 1)
    np.maximum.at(right, found, columns + 1)
    return [
        Rect(
            int(t) * cell_px,
            int(x) * cell_px,
            min(int(b) * cell_px, mask.height) - int(t) * cell_px,
            min(int(r) * cell_px, mask.width) - int(x) * cell_px,
        )
        for t, x, b, r in zip(top, left, bottom, right, strict=True)
    ]


class Hole(NamedTuple):
    """What is to be filled in some windows; what two of them share counts twice.

    area_px: its pixels. near_px: the pixels around it, where a model may look for what to fill it with: in each window the box
    around what is masked there, grown by its own size on each side, as far as the window goes.
    """

    area_px: float
    near_px: float


NO_HOLE = Hole(0.0, 0.0)


def _near(masked: NDArray[np.bool_]) -> int:
    """How many cells of a window are near those that are masked."""
    area = 1
    for axis in (0, 1):
        taken = np.flatnonzero(masked.any(axis))
        if not taken.size:
            return 0
        first, last = int(taken[0]), int(taken[-1])
        size = last + 1 - first
        area *= min(masked.shape[1 - axis], last + 1 + size) - max(0, first - size)
    return area


class StageMask:
    """A mask cut down to some of its regions: what one stage may touch."""

    def __init__(self, mask: Mask, regions: RegionMap | None = None, keep: Collection[int] = ()) -> None:
        """keep: labels of the regions that stay; with `regions` None the whole mask stays."""
        self._mask = mask
        self._regions = regions
        self._cell_px = regions.cell_px if regions else 1
        kept = set(keep)
        everything = regions is None or kept >= set(range(1, len(regions) + 1))
        self._cells = None if everything or regions is None else np.isin(regions.labels, sorted(kept))

    def window(self, rect: Rect) -> NDArray[np.uint8]:
        """The mask over `rect`, (height, width) uint8."""
        pixels = self._mask.window(rect.y, rect.x, rect.height, rect.width)
        if self._cells is None:
            return pixels
        rows = np.arange(rect.y, rect.bottom) // self._cell_px
        columns = np.arange(rect.x, rect.right) // self._cell_px
        return pixels * self._cells[np.ix_(rows, columns)]

    def hole(self, windows: Sequence[Rect], share: NDArray[np.float64] | None = None) -> Hole:
        """What is masked in `windows`, to the cell of the regions' grid.

        share: of each cell, what part of its pixels counts; not known without regions.
        """
        px = self._cell_px
        cells = self._regions.coverage if self._regions is not None else None
        for factor in (self._cells, share):
            cells = cells if cells is None or factor is None else cells * factor
        area, near = 0.0, 0
        for window in windows:
            if cells is None:
                inside = self.window(window) > 0
            else:
                inside = cells[window.y // px : ceil_div(window.bottom, px), window.x // px : ceil_div(window.right, px)]
            area += float(inside.sum())
            near += _near(inside > 0)
        return Hole(area * px**2, near * px**2)

    def any(self, rect: Rect) -> bool:
        """Whether any pixel of `rect` is masked."""
        if not self._mask.any(rect.y, rect.x, rect.height, rect.width):
            return False
        return self._cells is None or bool(self.window(rect).any())
