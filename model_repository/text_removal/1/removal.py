"""The order of work in a window: detect text, find its strokes, fill them.

Deaf to Triton: `detect`, `find` and `fill` are handed in as functions, so that the same code runs under tests.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from repeats import with_copies

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
Detect = Callable[[U8], U8]
"""[H,W,3] uint8 -> [H,W,1] uint8 text probability."""
Find = Callable[[U8, U8], U8]
"""image [H,W,3], the detector's map at full and at half size [H,W,2] -> [H,W,1] uint8 stroke probability."""
Fill = Callable[[U8, U8], U8]
"""image [H,W,3], mask [H,W,1] -> image with the mask's pixels filled."""

cv2.setNumThreads(1)

SCALES = (1.0, 0.5, 0.25)
"""What the detector looks at: headlines are too tall for it at full size; the smaller two add 31 % to its cost."""
HINT_LEVELS = 2
"""The maps of the first of them are what the networks are shown."""
EVENED_LIMIT, EVENED_TILES = 2.0, (8, 8)
"""At full size it looks at the picture with its contrast evened, too: what is faint, or dark on dark, is text there as well."""
SMALLEST_PX = 32
TEXT_LEVEL = 77
"""0.3 of 255: PP-OCR's own threshold of the probability map."""
NEAR_PX = 16
"""A stroke that comes nowhere as near to what the detector saw is not believed: petals and lit windows look like strokes."""
STROKE_LEVEL, SURE_LEVEL, TOP_LEVEL, GROUP_PX = 77, 230, 204, 8
"""0.3 of 255. Lower than a half: half a letter left is worse than a pixel more filled. But where the network is sure of strokes
(0.9), what it doubts beside them is ground: the level of a group of strokes, no farther apart than twice GROUP_PX, rises with
the share of it that is sure, up to 0.8."""
CONTEXT_PX = 64
"""Around what the detector saw: what the text stands on, and how far its letters may reach (it marks lines shrunk)."""
GROUND_PX, AWAY_PX, LEAST_SHARE = 64, 10, 0.05
"""What the ground about a stroke is like is told by the pixels up to GROUND_PX from there that are AWAY_PX from all strokes."""
CALM_LEVELS, RIM_LEVELS, RIM_DEVIATIONS, RIM_REACH_PX = 16, 6, 3, 8
"""Where the ground varies by less than CALM_LEVELS a rim would be seen: pixels that hang together with a stroke, no farther
from it than RIM_REACH_PX, and depart from the ground by RIM_LEVELS and by RIM_DEVIATIONS of its own."""
RIM_PX = 1
"""Antialiasing and compression mix the pixels beside a stroke with it: the next one goes too, or letters stay as thin outlines,
and the one after that is no source for the fill."""
SAME_LEVELS = 3
"""What the fill would change by no more than this is as good as it was, and stays: much of the ground beside a stroke."""


@dataclass(frozen=True, slots=True)
class Removal:
    """result [H,W,3] uint8, equal to the input wherever the mask is 0; strokes [H,W,1] uint8, 255 = filled."""

    result: U8
    strokes: U8


def remove_text(image: U8, mask: U8, detect: Detect, find: Find, fill: Fill) -> Removal:
    """Clean the overlay text of `image` [H,W,3] uint8 where `mask` [H,W,1] uint8 > 0.

    Strokes that leave the mask are not touched outside it, but do not serve as a source of the fill either.
    """
    allowed = mask[..., 0] > 0
    if not allowed.any():
        return Removal(image, np.zeros_like(mask))
    seen = seen_text(image, detect)
    near = _grown(np.maximum.reduce(seen) >= TEXT_LEVEL, NEAR_PX)
    window = _window(near & allowed)
    strokes = np.zeros(allowed.shape, bool)
    if window:
        piece = np.ascontiguousarray(image[window])
        probability = find(piece, np.dstack([level[window] for level in seen[:HINT_LEVELS]]))[..., 0]
        strokes[window] = _touching(_found(probability), near[window])
        strokes = _grown(_with_rims(image, with_copies(image, strokes)), RIM_PX)
    if not (strokes & allowed).any():
        return Removal(image, np.zeros_like(mask))
    filled = fill(image, _as_mask(_grown(strokes, RIM_PX)))
    strokes &= allowed & (cv2.absdiff(filled, image) > SAME_LEVELS).any(axis=2)
    return Removal(np.where(strokes[..., None], filled, image), _as_mask(strokes))


def seen_text(image: U8, detect: Detect) -> list[U8]:
    """The detector's maps [H,W] of the picture at each of SCALES, all brought to full size."""
    seen = [_seen(image, detect, scale) for scale in SCALES]
    seen[0] = np.maximum(seen[0], detect(_evened(image))[..., 0])
    return seen


def _seen(image: U8, detect: Detect, scale: float) -> U8:
    """[H,W]: the detector's map of the picture at `scale`, brought back to full size; zeros where that is too small."""
    height, width = image.shape[:2]
    if scale == 1.0:
        return detect(image)[..., 0]
    size = (int(width * scale), int(height * scale))
    if min(size) < SMALLEST_PX:
        return np.zeros((height, width), np.uint8)
    small = detect(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8).reshape(height, width)


def _evened(image: U8) -> U8:
    """The picture with its lightness evened out tile by tile (CLAHE: Zuiderveld, Graphics Gems IV, 1994)."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(EVENED_LIMIT, EVENED_TILES).apply(lab[..., 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)


def _window(wanted: Bools) -> tuple[slice, slice] | None:
    """The rectangle that holds all of `wanted` and CONTEXT_PX around it; None where nothing is wanted."""
    sides = [np.flatnonzero(wanted.any(axis)) for axis in (1, 0)]
    if not sides[0].size:
        return None
    y, x = (slice(max(0, int(at[0]) - CONTEXT_PX), int(at[-1]) + 1 + CONTEXT_PX) for at in sides)
    return y, x


def _found(probability: U8) -> Bools:
    """Which pixels are taken for strokes, of their probability [H,W]."""
    flags = probability >= STROKE_LEVEL
    _, groups = cv2.connectedComponents(_grown(flags, GROUP_PX).astype(np.uint8), connectivity=8)
    held, sure = (np.bincount(groups[some], minlength=int(groups.max()) + 1) for some in (flags, probability >= SURE_LEVEL))
    level = STROKE_LEVEL + (TOP_LEVEL - STROKE_LEVEL) * sure / np.maximum(held, 1)
    return flags & (probability >= level[groups])


def _touching(strokes: Bools, near: Bools) -> Bools:
    """The strokes, whole, of which a part is near."""
    _, labels = cv2.connectedComponents(strokes.astype(np.uint8), connectivity=8)
    kept = np.unique(labels[strokes & near])
    return np.isin(labels, kept[kept > 0])


def _with_rims(image: U8, strokes: Bools) -> Bools:
    """The strokes, and on calm ground their outlines and shadows as far as the network took them for ground: image [H,W,3]."""
    distance_px = cv2.distanceTransform(1 - strokes.astype(np.uint8), cv2.DIST_L2, 5)
    ground, deviation = _ground(image, distance_px > AWAY_PX)
    departs = np.abs(image - ground) > np.maximum(RIM_LEVELS, RIM_DEVIATIONS * deviation)
    is_near = (distance_px <= RIM_REACH_PX) & (deviation.max(axis=2) < CALM_LEVELS)
    return _touching(strokes | (departs.any(axis=2) & is_near), strokes)


def _ground(image: U8, flags: Bools) -> tuple[F32, F32]:
    """Mean and standard deviation, [H,W,3], of the flagged pixels within GROUND_PX; where there are none, 0 and without bound.

    Normalised convolution (Knutsson and Westin, CVPR 1993).
    """
    colours = image.astype(np.float32)
    share = _box_mean(flags.astype(np.float32))[..., None]
    known = flags[..., None] * colours
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, square = (_box_mean(part) / share for part in (known, known * colours))
    variance = np.where(share > LEAST_SHARE, np.maximum(square - np.square(mean), 0), np.inf)
    return np.where(share > LEAST_SHARE, mean, 0), np.sqrt(variance)


def _box_mean(values: F32) -> F32:
    return np.asarray(cv2.blur(values, (2 * GROUND_PX + 1,) * 2), np.float32)


def _grown(flags: Bools, radius_px: int) -> Bools:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1,) * 2)
    return np.asarray(cv2.dilate(flags.astype(np.uint8), disc)) > 0


def _as_mask(flags: Bools) -> U8:
    return (flags.astype(np.uint8) * 255)[..., None]
