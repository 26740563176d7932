"""Takes off a window's result what its tone drifted: the input is the truth about everything smooth in an enlargement.

Models that invent give each window a slightly different gain, offset and gradient. These few numbers are estimated between the
result, averaged down, and the source, and taken back. A model that keeps its input's tone never leaves the dead zone, and its
results pass unchanged.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.imaging.rows import Pixels

DEAD_ZONE = 1.5
"""Levels of drift (root mean square over the window) that are left alone."""
WILD = 20.0
"""Levels beyond which it is no drift: such a result is left for `agreement.py` to find, not painted over."""
CELL_PX = 16
"""Side, in input pixels, of the cells whose means are compared."""
CLIPPED = 4.0
"""Cells whose mean is that close to black or white may have lost what drifted out of range: they do not count."""
ROUNDS = 4
GAIN_LEVELS = 64.0
"""A gain counts as its effect on that many levels: the scale on which it is weighed against offsets."""

Cells = NDArray[np.float64]
"""(rows, columns, channels)."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What a result's channels have become: value · gain + offset + slope_y · y + slope_x · x, y and x from -1 to 1.

    Each (channels,); offset and slopes in levels.
    """

    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    slope_y: NDArray[np.float64]
    slope_x: NDArray[np.float64]
    level: float
    """Root mean square over the window, of the channel where it is largest; in levels."""


def anchor(result: Pixels, source: Pixels) -> Pixels:
    """`result` without its drift against `source`: (h · scale, w · scale, channels) and (h, w, channels).

    The same array where the drift stays within the dead zone, and where it is wild.
    """
    drift = find_drift(result, source)
    return _without(result, source, drift) if DEAD_ZONE < drift.level <= WILD else result


def find_drift(result: Pixels, source: Pixels) -> Drift:
    """The drift of `result`, by least squares that give little weight to cells that do not fit (Geman & McClure 1987)."""
    truth, seen = _cells(source, source), _cells(result, source)
    rows, columns, channels = truth.shape
    y, x = np.meshgrid(_positions(rows), _positions(columns), indexing="ij")
    gain, offset, slope_y, slope_x, level = (np.zeros(channels) for _ in range(5))
    for channel in range(channels):
        a, b = truth[:, :, channel], seen[:, :, channel]
        valid = (b > CLIPPED) & (b < 255 - CLIPPED)
        middle = a[valid].mean() if valid.any() else 0.0
        terms = np.stack([(a - middle) / GAIN_LEVELS, np.ones_like(a), y, x], axis=-1)[valid]
        found = _fit(terms, (b - a)[valid])
        gain[channel] = 1 + found[0] / GAIN_LEVELS
        offset[channel], slope_y[channel], slope_x[channel] = found[1] - found[0] / GAIN_LEVELS * middle, found[2], found[3]
        level[channel] = np.sqrt(np.square(terms @ found).mean()) if valid.any() else 0.0
    return Drift(gain, offset, slope_y, slope_x, float(level.max()))


def _cells(pixels: Pixels, source: Pixels) -> Cells:
    height, width, channels = source.shape
    size = (-(-width // CELL_PX), -(-height // CELL_PX))
    means = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # rounded: several times as fast, and the fit averages
    return np.asarray(means, np.float64).reshape(size[1], size[0], channels)


def _positions(cells: int) -> NDArray[np.float64]:
    """Centres of cells along an axis from -1 to 1."""
    return (np.arange(cells) + 0.5) * 2 / cells - 1


def _fit(terms: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients (4,) of `terms` (n, 4) that give `values` (n,), or as much of them as few cells can tell."""
    weights = np.ones(len(values))
    found = np.zeros(terms.shape[1])
    for _ in range(ROUNDS if len(values) else 0):
        weighted = terms * weights[:, None]
        # A cell's worth of belief in no drift keeps apart what a flat or a small window cannot.
        found = np.linalg.solve(weighted.T @ terms + np.eye(terms.shape[1]), weighted.T @ values).astype(np.float64)
        left = values - terms @ found
        spread = max(1.0, 2 * float(np.median(np.abs(left))))
        weights = 1 / np.square(1 + np.square(left / spread))
    return found


def _without(result: Pixels, source: Pixels, drift: Drift) -> Pixels:
    height, width = result.shape[:2]
    y, x = _positions(height)[:, None], _positions(width)
    # A clipped value is only known to be at least as bright, or as dark, as it is: the source says how much.
    smooth = cv2.resize(source, (width, height), interpolation=cv2.INTER_LINEAR).reshape(result.shape)
    clean: list[NDArray[np.uint8]] = []
    for channel, seen in enumerate(cv2.split(result)):
        gain = drift.gain[channel]
        values = seen * np.float32(1 / gain)
        values -= ((drift.offset[channel] + drift.slope_x[channel] * x) / gain).astype(np.float32)
        values -= (drift.slope_y[channel] * y / gain).astype(np.float32)
        for level, bound in ((0, np.minimum), (255, np.maximum)):
            lost = seen == level
            values[lost] = bound(values[lost], smooth[:, :, channel][lost])
        clean.append(np.clip(np.rint(values, out=values), 0, 255, out=values).astype(np.uint8))
    return np.asarray(cv2.merge(clean), np.uint8).reshape(result.shape)
