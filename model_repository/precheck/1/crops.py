"""Which crops of a proxy the network is shown, and the weights that say where the region and its ring are in them.

At the proxy's own resolution: a reduction would take away the very texture that is asked for.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
Bools = NDArray[np.bool_]

cv2.setNumThreads(1)

RING_PX = 12
LEAST_RING_PX = 64
"""A ring of fewer pixels tells nothing."""
CROP_PX = 160
MOST_CROPS = 4
GRID_PX = 8


def bounds(region: Bools) -> tuple[slice, slice]:
    """The bounding box of a region [H,W] that is not empty, grown by the ring."""
    spans: list[slice] = []
    for axis, size in ((1, region.shape[0]), (0, region.shape[1])):
        taken = np.flatnonzero(region.any(axis))
        spans.append(slice(max(0, int(taken[0]) - RING_PX), min(size, int(taken[-1]) + 1 + RING_PX)))
    return spans[0], spans[1]


def ring(region: U8) -> U8:
    """[H,W] 0 or 1: the pixels within RING_PX of the region but 2 px off it, or the region itself where it leaves no ring."""
    wide = cv2.dilate(region, np.ones((2 * RING_PX + 1,) * 2, np.uint8))
    near = cv2.dilate(region, np.ones((5, 5), np.uint8))
    around = wide & (1 - near)
    return around if int(around.sum()) >= LEAST_RING_PX else region


def crops(piece: U8, weights: U8) -> tuple[U8, U8]:
    """A piece of the proxy [h,w,3] and its weights [h,w,2] (region, ring; 0 or 1) -> [K,S,S,3] and [K,S,S,2].

    One crop where the piece fits into CROP_PX; else the MOST_CROPS cells of a lattice that hold most of the region. What lies
    beyond the piece repeats its edge and weighs nothing.
    """
    height, width = piece.shape[:2]
    size = min(CROP_PX, -(-max(height, width) // GRID_PX) * GRID_PX)
    spots = [(y, x) for y in _starts(height, size) for x in _starts(width, size)]
    spots.sort(key=lambda spot: -int(weights[spot[0] : spot[0] + size, spot[1] : spot[1] + size, 0].sum()))
    chosen = spots[:MOST_CROPS]
    return _stacked(piece, chosen, size, "edge"), _stacked(weights, chosen, size, "constant")


def _starts(length: int, size: int) -> list[int]:
    """Where crops of `size` begin so that they cover `length` evenly."""
    count = max(1, -(-length // size))
    return [round(i * (length - size) / max(1, count - 1)) if length > size else 0 for i in range(count)]


def _stacked(pixels: U8, spots: list[tuple[int, int]], size: int, mode: str) -> U8:
    pieces: list[U8] = []
    for y, x in spots:
        piece = pixels[y : y + size, x : x + size]
        missing = ((0, size - piece.shape[0]), (0, size - piece.shape[1]), (0, 0))
        pieces.append(np.pad(piece, missing, mode=mode))  # pyright: ignore[reportArgumentType, reportCallIssue]
    return np.stack(pieces)
