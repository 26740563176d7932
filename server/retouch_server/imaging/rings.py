"""Rings of pixels around something, and averages over them: what a picture does as one goes away from an edge."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.imaging.cells import CELL_PX, F32, Floats, box_mean

Bools = NDArray[np.bool_]

REACH_PX = 8
"""As many rings, 1 px each: a JPEG block's width, within which the ringing of a stroke stays."""
NEAR_CELLS = 3
"""Averages are taken over the square of cells within this, 28 px."""
_NEAR_AREA = (2 * NEAR_CELLS + 1) ** 2


def distance_px(flags: Bools) -> F32:
    """How far each pixel is from the nearest true one, px: 0 there; within 5 % of Euclid's (a 3 × 3 chamfer)."""
    return np.asarray(cv2.distanceTransform((~flags).astype(np.uint8), cv2.DIST_L2, 3), np.float32)


@dataclass(frozen=True, slots=True)
class Rings:
    """The pixels 1, 2, … REACH_PX px beside something; averages are (rows, columns, REACH_PX), around each cell.

    number: (h, w), 0 inside, then counted outwards, 255 and more as 255. count: how many pixels an average is over.
    """

    number: NDArray[np.uint8]
    count: Floats
    _pixels: tuple[NDArray[np.intp], NDArray[np.intp]]
    _bins: NDArray[np.intp]

    @classmethod
    def around(cls, flags: Bools) -> Self:
        """Those around what is true in `flags` (h, w); both lengths are multiples of CELL_PX."""
        number = np.minimum(np.ceil(distance_px(flags)), 255).astype(np.uint8)
        y, x = np.nonzero((number > 0) & (number <= REACH_PX))
        rows, columns = flags.shape[0] // CELL_PX, flags.shape[1] // CELL_PX
        bins = ((y // CELL_PX) * columns + x // CELL_PX) * REACH_PX + number[y, x] - 1
        count = np.bincount(bins, minlength=rows * columns * REACH_PX).reshape(rows, columns, REACH_PX)
        return cls(number, _NEAR_AREA * box_mean(count.astype(np.float32), NEAR_CELLS), (y, x), bins)

    @property
    def independent(self) -> Floats:
        """As how many independent samples the pixels of an average count: neighbours in a texture are alike."""
        return np.maximum(self.count, 1.0) / 4.0

    def mean(self, values: Floats) -> Floats:
        """The mean of `values` (h, w) over each ring; 0 where there is none of it."""
        total = np.bincount(self._bins, values[self._pixels], self.count.size).reshape(self.count.shape)
        return _NEAR_AREA * box_mean(total.astype(np.float32), NEAR_CELLS) / np.maximum(self.count, 1.0)
