"""How two neighbouring tiles become one over the zone that both cover, and how a fill meets its surroundings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.imaging.pyramid import weighted
from retouch_server.imaging.rows import Pixels
from retouch_server.tiling import shares
from retouch_server.tiling.ramps import TRANSITION

TOLERANCE = 0.5
"""Levels by which the means of two sides may differ: what rounds to one level or the next differs by less."""
CELL_PX = 64
"""Length along a border over which sides are compared: enough pixels for noise to average out."""
BESIDE_PX = TRANSITION
"""How far from a border nothing but tone changes sides any more."""
PIECE_PX = 2048
"""Length along a border that is blended at once: it bounds the memory, and fits a cache."""


@dataclass(frozen=True, slots=True)
class Joint:
    """What became of a border. steps, own: as `steps` gives them, of the result, and the mean of its two sides.

    is_widened: whether the sides disagreed.
    """

    steps: NDArray[np.float64]
    own: NDArray[np.float64]
    is_widened: bool


def join(first: Pixels, second: Pixels, axis: int, margin: int, out: Pixels) -> Joint:
    """Makes one of two sides of a border, into `out`, which may be `first`; all (h, w, channels), along `axis` as in `blend`.

    The border is in the middle. Blends over what lies at least `margin` px inside, and takes `first` before and `second`
    behind it; where the two disagree there, blends over all that both cover.
    """
    sides = [_beside(side, axis) for side in (first, second)]  # before `out` changes, which may be `first`
    is_widened = _join(first, second, axis, margin, out)
    of_first, of_second, of_out = _steps([*sides, _beside(out, axis)])
    return Joint(of_out, (of_first + of_second) / 2, is_widened)


def _join(first: Pixels, second: Pixels, axis: int, margin: int, out: Pixels) -> bool:
    n = first.shape[axis]
    inner = _along(axis, margin, n - margin)
    seen = _along(axis, *((margin, n - margin) if 2 * margin < n else (n // 2 - 1, n // 2 + 1)))
    if margin and disagreement(first[seen], second[seen], axis) > TOLERANCE:
        out[...] = blend(first, second, axis)
        return True
    mixed = blend(first[inner], second[inner], axis)
    if out is not first:
        before = _along(axis, 0, margin)
        out[before] = first[before]
    behind = _along(axis, n - margin, n)
    out[inner], out[behind] = mixed, second[behind]
    return False


def steps(pixels: Pixels, axis: int) -> NDArray[np.float64]:
    """From line to line, (2, length), levels, mean of the channels' magnitudes: across the middle of a zone, and beside it.

    Beside is BESIDE_PX away, less in a zone that ends before, on either side; their mean.
    """
    return _steps([_beside(pixels, axis)])[0]


def _beside(pixels: Pixels, axis: int) -> Pixels:
    """A copy of the lines around the middle that `steps` looks at, (2 · away + 2, length, channels)."""
    middle, length, channels = pixels.shape[axis] // 2, pixels.shape[1 - axis], pixels.shape[2]
    away = min(BESIDE_PX, middle - 1)
    if away < 0:
        return np.empty((0, length, channels), np.uint8)
    lines = pixels[_along(axis, middle - away - 1, middle + away + 1)]
    return lines.copy() if axis == 0 else np.asarray(cv2.transpose(lines), np.uint8).reshape(-1, length, channels)


def _steps(zones: Sequence[Pixels]) -> NDArray[np.float64]:
    """`steps` of each of some zones of one shape, (zones, 2, length), from the lines `_beside` their borders."""
    lines = np.stack(zones)
    count, width, length, channels = lines.shape
    if not width:
        return np.zeros((count, 2, length))
    behind = (width // 2, 1, width - 1)
    changes = np.concatenate([cv2.absdiff(lines[:, at], lines[:, at - 1]).reshape(1, -1, channels) for at in behind])
    means = np.asarray(cv2.transform(changes.astype(np.float32), np.full((1, channels), 1 / channels)), np.float64)
    across, before, after = means.reshape(3, count, length)
    return np.stack([across, (before + after) / 2], axis=1)


def disagreement(first: Pixels, second: Pixels, axis: int) -> float:
    """How far the means of two sides differ, in levels: the most of any stretch of CELL_PX along the border."""
    if not first.size or not cv2.norm(first, second, cv2.NORM_INF):
        return 0.0
    sums = [cv2.reduce(side, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S) for side in (first, second)]
    difference = cv2.subtract(sums[1], sums[0]).reshape(first.shape[1 - axis], first.shape[2])
    starts = np.arange(0, len(difference), CELL_PX)
    cells = np.add.reduceat(difference, starts) / np.diff(starts, append=len(difference))[:, None]
    return float(np.abs(cells).max()) / first.shape[axis]


def blend(first: Pixels, second: Pixels, axis: int) -> Pixels:
    """Fades from `first` to `second` along `axis` (0: downwards, 1: to the right); both (h, w, channels), as the result.

    Each band of frequencies fades over a few of its wavelengths: tone over the whole zone, detail near the middle (Burt &
    Adelson 1983). What is blended is the difference: first + Σ levels of (second - first) × weights, so that equal pixels
    stay as they are, bit for bit, and each pixel stays between its two sides. Fractions of a level are dithered.
    """
    if not first.size or not cv2.norm(first, second, cv2.NORM_INF):
        return first
    levels = shares(first.shape[axis])
    length = first.shape[1 - axis]
    if length <= PIECE_PX:
        return _blend(first, second, levels, axis)
    # Pieces overlap by more than the pyramid's support and begin on its coarsest nodes: they fit as if they were one.
    overlap = 8 << (len(levels) - 1)
    out = np.empty_like(first)
    for start in range(0, length, PIECE_PX):
        stop, begin = min(start + PIECE_PX, length), max(0, start - overlap)
        piece = _along(1 - axis, begin, min(stop + overlap, length))
        mixed = _blend(first[piece], second[piece], levels, axis)
        out[_along(1 - axis, start, stop)] = mixed[_along(1 - axis, start - begin, stop - begin)]
    return out


def _blend(first: Pixels, second: Pixels, levels: tuple[NDArray[np.float32], ...], axis: int) -> Pixels:
    below, difference = first.astype(np.float32), second.astype(np.float32)
    difference -= below
    change = weighted(difference, levels, axis)
    change += _dither(*first.shape)
    mixed = cv2.add(below, change, dtype=cv2.CV_8U)
    mixed = cv2.min(cv2.max(mixed, cv2.min(first, second)), cv2.max(first, second))
    return np.asarray(mixed, np.uint8).reshape(first.shape)


@lru_cache(8)
def _dither(height: int, width: int, channels: int) -> NDArray[np.float32]:
    """What is added before rounding, within ±0.5: ordered dither (Bayer 1973) over squares of 8 px.

    Where two sides differ by a level, one in the middle of a fade is the other: a contour, along all of the border.
    """
    order = np.zeros((1, 1))
    for _ in range(3):
        order = np.block([[4 * order, 4 * order + 2], [4 * order + 3, 4 * order + 1]])
    tile = ((order + 0.5) / 64 - 0.5).astype(np.float32)
    plane = np.tile(tile, (-(-height // 8), -(-width // 8)))[:height, :width]
    return np.ascontiguousarray(plane[:, :, None].repeat(channels, axis=2))


def _along(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    """Lines `start` to `stop` along `axis`."""
    return (slice(start, stop),) if axis == 0 else (slice(None), slice(start, stop))


def composite(source: Pixels, fill: Pixels, mask: NDArray[np.uint8]) -> Pixels:
    """`fill` where `mask` is 255, `source` byte for byte where it is 0, a mixture between.

    Images (h, w, channels), mask (h, w).
    """
    alpha = np.repeat(mask, source.shape[2], axis=1).astype(np.uint16)
    mixed = _lines(fill) * alpha
    mixed += _lines(source) * (255 - alpha)
    # Divided by 255 and rounded, exactly for 0 to 65025 (Blinn, "Three wrongs make a right", 1995).
    mixed += 128
    mixed += mixed >> 8
    mixed >>= 8
    return mixed.astype(np.uint8).reshape(source.shape)


def _lines(pixels: Pixels) -> NDArray[np.uint8]:
    """(h, w, channels) as (h, w · channels): numpy is several times as fast on long rows as on triples."""
    return pixels.reshape(pixels.shape[0], -1)
