"""Fills at proxy resolution: which crops show the regions that need no more. Pure data, from the mask.

image  ┌───────────────────────┐      Regions whose surroundings overlap share a crop, as long as it fits into a window of the
       │  ┌ crop ────┐ ┌ crop ┐│      model. The crop is filled once, on a copy of the image at half its size or less, and
       │  │ ▒▒▒  ▒▒  │ │  ▒   ││      enlarged over all windows that touch the regions: these need no call of the model of
       │  └──────────┘ └──────┘│      their own.
       └───────────────────────┘
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect, Span, ceil_div
from retouch_server.imaging.edge import EDGE_PX
from retouch_server.imaging.mask import Mask
from retouch_server.pipeline.coarse import MARGIN_PX, Coarse, cells_of
from retouch_server.pipeline.regions import Hole, RegionMap, StageMask, bounds_of

REACH = 0.5
"""Share of its longer side that a crop shows around a region."""
LEAST_REACH_PX = 32
"""So much of the small copy a crop shows around a region, at least."""


@dataclass(frozen=True, slots=True)
class Proxied:
    """What a stage fills at proxy resolution: `mask`, in the crops `coarse` of a copy `ratio` times smaller than the image.

    parts: bounds of what lies so near to each other that it must be looked at together, in image px; numbers: (rows, columns)
    int32 on the cells of `coarse`, 0 outside, else the number of the part, from 1.
    """

    mask: StageMask
    coarse: Coarse
    ratio: float
    parts: tuple[Rect, ...]
    numbers: NDArray[np.int32]

    def parts_in(self, rows: Span) -> list[int]:
        """The numbers of the parts of which something lies in some rows of the image."""
        return [number for number, part in enumerate(self.parts, 1) if part.rows.clip(rows).length]

    def part(self, number: int, rect: Rect) -> NDArray[np.uint8]:
        """The mask over `rect`, (height, width) uint8, where it is that part's; 0 elsewhere."""
        rows, columns = (cells_of(span, self.coarse.cell_px) for span in (rect.rows, rect.columns))
        return self.mask.window(rect) * (self.numbers[np.ix_(rows, columns)] == number)

    @property
    def blind(self) -> int:
        """How many crops show nothing but what is masked."""
        cell_px, masked = self.coarse.cell_px, self.coarse.masked
        return sum(
            bool(masked[np.ix_(cells_of(crop.rows, cell_px), cells_of(crop.columns, cell_px))].all())
            for crop in self.coarse.crops
        )

    @property
    def crop_px(self) -> float:
        """Pixels of the small copy in all crops."""
        return sum(crop.area for crop in self.coarse.crops) / self.ratio**2

    @property
    def hole(self) -> Hole:
        """What is masked of the small copy in all crops."""
        hole = self.mask.hole(self.coarse.crops)
        return Hole(hole.area_px / self.ratio**2, hole.near_px / self.ratio**2)


def find_proxied(mask: Mask, regions: RegionMap, labels: Collection[int], window_px: int, ratio: float) -> Proxied:
    """The regions `labels` of `mask`, of which there is one, for a model with windows of `window_px`."""
    size = Rect(0, 0, mask.height, mask.width)
    chosen = sorted(labels)
    groups = _grouped((_around(regions.bounds[label - 1], size, ratio) for label in chosen), window_px * ratio)
    numbers = np.zeros(len(regions) + 1, np.float32)
    for label in chosen:
        numbers[label] = 1 + next(i for i, crop in enumerate(groups) if crop.contains(regions.bounds[label - 1]))
    holes = numbers[regions.labels]
    kernel = np.ones((2 * ceil_div(MARGIN_PX, regions.cell_px) + 1,) * 2, np.uint8)
    holes = np.where(regions.labels > 0, holes, cv2.dilate(holes, kernel)).astype(np.int32)
    coarse = Coarse(regions.cell_px, holes, regions.labels > 0, tuple(groups))
    cells = np.isin(regions.labels, chosen)
    near = cv2.dilate(cells.astype(np.uint8), np.ones((2 * ceil_div(EDGE_PX, regions.cell_px) + 1,) * 2, np.uint8))
    count, parts = cv2.connectedComponents(near, connectivity=8)
    parts = np.where(cells, parts, 0).astype(np.int32)
    bounds = bounds_of(parts, count, mask, regions.cell_px)[1:]
    return Proxied(StageMask(mask, regions, chosen), coarse, ratio, tuple(bounds), parts)


def _around(bounds: Rect, image: Rect, ratio: float) -> Rect:
    reach_px = max(round(REACH * max(bounds.height, bounds.width)), round(LEAST_REACH_PX * ratio))
    return Rect.from_spans(bounds.rows.grow(reach_px).clip(image.rows), bounds.columns.grow(reach_px).clip(image.columns))


def _grouped(crops: Iterable[Rect], most_px: float) -> list[Rect]:
    """Crops joined where that shows no more pixels in all, as long as they stay within `most_px`."""
    groups: list[Rect] = []
    for crop in crops:
        for number, group in enumerate(groups):
            both = _union(group, crop)
            if both == group or (both.area <= group.area + crop.area and max(both.height, both.width) <= most_px):
                groups[number] = both
                break
        else:
            groups.append(crop)
    return groups


def _union(a: Rect, b: Rect) -> Rect:
    y, x = min(a.y, b.y), min(a.x, b.x)
    return Rect(y, x, max(a.bottom, b.bottom) - y, max(a.right, b.right) - x)
