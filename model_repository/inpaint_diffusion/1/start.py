"""What the noise is laid on: the coarsest level's hole, filled without chance. And the membrane, which smooth fills are."""

import cv2
import numpy as np
from levels import F32, RADIUS_PX, SIDE_PX, Bools, Flat, Level, enlarged, mean_of_blocks


def peeled(level: Level) -> F32:
    """The window with its hole filled from the rim inwards, layer by layer.

    Each pixel of a layer takes the value that the source nearest in the *known* part of its patch has there (Newson et al.,
    "Video Inpainting of Complex Scenes", SIAM J. Imaging Sci. 2014, section 3.4). A smooth start would be matched to the
    smoothest sources, and stay smooth through all noise that leaves its tone to be seen. Compared are whole grey levels,
    whose sums are exact in any order.
    """
    picture, hole = level.window.copy(), level.hole.copy()
    sources = np.rint(_patches(level.picture, level.sources))
    squares = np.square(sources)
    width, three = hole.shape[1], np.ones((3, 3), np.uint8)
    while hole.any():
        layer = np.argwhere(hole & (cv2.dilate((~hole).astype(np.uint8), three) > 0))
        centres = np.clip(layer, RADIUS_PX, np.array(hole.shape) - RADIUS_PX - 1)
        flat = centres[:, 0] * width + centres[:, 1]
        known = _patches(np.repeat((~hole)[..., None], 3, axis=2).astype(np.float32), flat)
        distance = known @ squares.T - 2.0 * (known * np.rint(_patches(picture, flat))) @ sources.T
        best = level.sources[np.argmin(distance, axis=1)]
        offset = (layer - centres) @ np.array([level.canvas_width, 1])
        picture[layer[:, 0], layer[:, 1]] = level.picture.reshape(-1, 3)[best + offset]
        hole[layer[:, 0], layer[:, 1]] = False
    return picture


def _patches(picture: F32, centres: Flat) -> F32:
    """[N, 147]: the patch around each centre (a flat index of an interior pixel)."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, (SIDE_PX, SIDE_PX), axis=(0, 1))
    y, x = np.divmod(centres, picture.shape[1])
    return windows[y - RADIUS_PX, x - RADIUS_PX].reshape(len(centres), SIDE_PX * SIDE_PX * 3)


def membrane(values: F32, known: Bools) -> F32:
    """The harmonic interpolation of values [H,W,3] from the pixels of `known` [H,W], one at least, to all others.

    Solved coarse to fine: half the size first, then Jacobi relaxation of what the halving left. The border is free.
    """
    if known.all():
        return values
    if min(known.shape) <= 2:
        return np.where(known[..., None], values, values[known].mean(0)).astype(np.float32)
    pad = [(0, side % 2) for side in known.shape]
    coarse, coarse_known = mean_of_blocks(np.pad(values, (*pad, (0, 0))), np.pad(known, pad), least=0.2)
    guess = enlarged(membrane(coarse, coarse_known), known.shape)
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4.0
    fixed = known[..., None]
    out = np.where(fixed, values, guess).astype(np.float32)
    for _ in range(12):
        out = np.where(fixed, values, cv2.filter2D(out, -1, cross, borderType=cv2.BORDER_REPLICATE))
    return out
