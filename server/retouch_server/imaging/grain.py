"""The grain of a photograph, for fills made at a lower resolution: an enlarged fill is too clean beside noise.

Grain is what a small copy of the picture cannot show. A block of it, from the calm part of what is known near the hole, is
the kernel that white noise is filtered with: the outcome has the block's variance, spectrum and correlation between the
channels (asymptotic discrete spot noise: Galerne, Gousseau and Morel, "Random Phase Textures", IEEE TIP 2011). The white
noise is a function of the seed and the place in the image, so that two windows have the same where they overlap.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect, Span
from retouch_server.imaging.rows import Pixels

Bools = NDArray[np.bool_]
F32 = NDArray[np.float32]

BLOCK_PX = 16
"""Side of the block: grain is correlated over a few pixels, and 256 of them tell its strength to 5 %."""
OFF_PX = 6
"""So far from a hole a pixel is free of what the hole is there to remove; so is what a small copy shows there, farther off."""
NEAREST, QUIETEST = 24, 0.25
"""Of so many blocks next to the hole the one at this share of their order of strength counts: the calm part of the
surroundings, where edges and texture of the scene are not taken for grain."""
OCTAVE = 2.0
"""Grain is taken from this much coarser on than what a small copy does not show: a fill, the mean of patches, is itself too
clean in the octave below."""
FAINTEST = 0.25
"""Levels (root mean square) below which there is no grain: less than rounding makes."""
_PLANE_PX = 64
"""White noise is drawn in squares of the image plane."""


def lost(picture: Pixels, ratio: float) -> F32:
    """What of `picture` (h, w, channels) a copy `ratio` times smaller does not show, in levels."""
    height, width, channels = picture.shape
    small_size = max(1, round(width / ratio)), max(1, round(height / ratio))
    small = cv2.resize(picture, small_size, interpolation=cv2.INTER_AREA)
    shown = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)
    return np.subtract(picture, shown, dtype=np.float32)


def sample(picture: Pixels, known: Bools, ratio: float) -> F32 | None:
    """A block of grain, (BLOCK_PX, BLOCK_PX, channels) with mean 0, from `picture` (h, w, channels) beside what is not known.

    None where there is none, or no block of it is wholly known.
    """
    height, width = (length - length % BLOCK_PX for length in known.shape)
    if not height or not width:
        return None
    away_px = cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, 3)[:height, :width]
    away_px = away_px.reshape(height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX).min(axis=(1, 3))
    valid = np.flatnonzero(away_px > OFF_PX + OCTAVE * ratio)
    if not valid.size:
        return None
    near = valid[np.argsort(away_px.ravel()[valid], kind="stable")[:NEAREST]]
    unseen = lost(picture, OCTAVE * ratio)
    blocks = [_block(unseen, int(number), width // BLOCK_PX) for number in near]
    order = sorted(blocks, key=lambda block: float(np.square(block).mean()))
    chosen = order[int(QUIETEST * (len(order) - 1))]
    return chosen if float(np.square(chosen).mean()) > FAINTEST**2 else None


def grown(block: F32, rect: Rect, seed: int) -> F32:
    """Grain like that of `block` over `rect` of the image, (height, width, channels)."""
    margin = BLOCK_PX // 2
    noise = _white(rect.rows.grow(margin), rect.columns.grow(margin), seed)
    planes = [cv2.filter2D(noise, -1, np.ascontiguousarray(block[:, :, channel])) for channel in range(block.shape[2])]
    inner = slice(margin, -margin)
    return (np.stack(planes, axis=2)[inner, inner] / BLOCK_PX).astype(np.float32)


def _block(unseen: F32, number: int, columns: int) -> F32:
    y, x = (place * BLOCK_PX for place in divmod(number, columns))
    block = unseen[y : y + BLOCK_PX, x : x + BLOCK_PX]
    return (block - block.mean(axis=(0, 1))).astype(np.float32)


def _white(rows: Span, columns: Span, seed: int) -> F32:
    """White noise of variance 1 over a rectangle of the plane, (height, width); its corner may lie before 0."""
    firsts = rows.start // _PLANE_PX, columns.start // _PLANE_PX
    lasts = (rows.stop - 1) // _PLANE_PX, (columns.stop - 1) // _PLANE_PX
    drawn = [
        np.concatenate([_square(seed, y, x) for x in range(firsts[1], lasts[1] + 1)], axis=1)
        for y in range(firsts[0], lasts[0] + 1)
    ]
    y, x = rows.start - firsts[0] * _PLANE_PX, columns.start - firsts[1] * _PLANE_PX
    return np.concatenate(drawn)[y : y + rows.length, x : x + columns.length]


def _square(seed: int, y: int, x: int) -> F32:
    key = np.array([seed, (y % 2**32) << 32 | x % 2**32], np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).standard_normal((_PLANE_PX, _PLANE_PX), np.float32)
