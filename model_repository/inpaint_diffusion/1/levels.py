"""A window and its halvings, as the sampler goes through them: which pixels are known, which are to be filled, which patches.

The *canvas* is the window with the reference, another stretch of the same picture, to its right. A *target* is the centre of a
patch of the window that touches the hole, a *source* the centre of a patch of the canvas that is wholly known. Both are flat
indices: of targets into the window (y * window's width + x), of sources into the canvas.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Flat = NDArray[np.intp]
Bools = NDArray[np.bool_]

RADIUS_PX = 3
SIDE_PX = 2 * RADIUS_PX + 1
"""Patches are 7 x 7: the smallest that still tells the direction of an edge."""
SMALLEST_PX = 24
"""No level's window has a shorter side: there would be few patches in it."""


@dataclass(frozen=True)
class Level:
    """One level; 0 is the finest. picture [H,W,3] 0-255 and known [H,W] of the canvas; hole [h,w] of the window."""

    picture: F32
    known: Bools
    hole: Bools

    @property
    def canvas_width(self) -> int:
        return self.known.shape[1]

    @property
    def window(self) -> F32:
        """[h,w,3]: the window, zero where nothing is known."""
        return self.picture[: self.hole.shape[0], : self.hole.shape[1]]

    @cached_property
    def targets(self) -> Flat:
        return np.flatnonzero(_dilated(self.hole) & _interior(self.hole.shape))

    @cached_property
    def is_source(self) -> Bools:
        """[H * W]."""
        return (~_dilated(~self.known) & _interior(self.known.shape)).ravel()

    @cached_property
    def sources(self) -> Flat:
        return np.flatnonzero(self.is_source)

    @property
    def pairs(self) -> int:
        """How many comparisons it takes to compare every target with every source."""
        return len(self.targets) * len(self.sources)

    @property
    def depth_px(self) -> float:
        """How far the hole's innermost pixel is from the nearest known one."""
        return float(cv2.distanceTransform(self.hole.astype(np.uint8), cv2.DIST_L2, 3).max())


def finest(image: U8, hole: Bools, reference: U8) -> Level:
    """Level 0, its sides grown to what can be halved exactly as often as `halvings` says; what is grown repeats the border.

    image [H,W,3], hole [H,W] bool, reference [h,w,4]: RGB and validity.
    """
    unit = 1 << halvings(hole)
    pad = [(0, -side % unit) for side in hole.shape]
    held = np.pad(hole, pad, "edge")
    height, width = held.shape
    beside = reference.shape[1] + unit if reference[..., 3].any() else 0
    rows = max(height, reference.shape[0] if beside else 0)
    shape = rows + -rows % unit, width + beside + -beside % unit
    picture, known = np.zeros((*shape, 3), np.float32), np.zeros(shape, bool)
    picture[:height, :width], known[:height, :width] = np.pad(image, (*pad, (0, 0)), "edge"), ~held
    if beside:
        place = slice(0, reference.shape[0]), slice(width + unit, width + unit + reference.shape[1])
        picture[place], known[place] = reference[..., :3], reference[..., 3] > 0
    picture[~known] = 0.0
    return Level(picture, known, held)


def halvings(hole: Bools) -> int:
    """How often a window of this size is halved at most."""
    return max(0, int(np.log2(max(1.0, min(hole.shape) / SMALLEST_PX))))


def halved(level: Level) -> Level:
    """Half the size: the mean of the known pixels of each 2 x 2 block; unknown where fewer than half are known."""
    picture, known = mean_of_blocks(level.picture, level.known, least=0.5)
    height, width = (side // 2 for side in level.hole.shape)
    return Level(picture, known, ~known[:height, :width])


def mean_of_blocks(values: F32, known: Bools, least: float) -> tuple[F32, Bools]:
    """Each 2 x 2 block's mean over its known pixels, and whether at least that share of it is known. Sides are even."""
    size = (known.shape[1] // 2, known.shape[0] // 2)
    share = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(np.where(known[..., None], values, 0.0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    is_known = share >= least
    return np.where(is_known[..., None], total / np.maximum(share, 1e-6)[..., None], 0.0).astype(np.float32), is_known


def enlarged(window: F32, shape: tuple[int, ...]) -> F32:
    """The window at twice the size, with nothing added."""
    return np.asarray(cv2.resize(window, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def _dilated(where: Bools) -> Bools:
    """The centres of patches that touch it."""
    return cv2.dilate(where.astype(np.uint8), np.ones((SIDE_PX, SIDE_PX), np.uint8)) > 0


def _interior(shape: tuple[int, ...]) -> Bools:
    """The centres of patches that do not reach beyond the picture."""
    inside = np.zeros(shape, bool)
    inside[RADIUS_PX:-RADIUS_PX, RADIUS_PX:-RADIUS_PX] = True
    return inside
