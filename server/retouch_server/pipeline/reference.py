"""Known pixels for windows that see few: at full resolution, from the same rows, and like what the hole holds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retouch_server.geometry import Rect, Span
from retouch_server.imaging.rows import Pixels
from retouch_server.pipeline.regions import StageMask

STEP_PX = 32
SAMPLE_PX = 4
LEVELS = 6
"""Colours are compared on a grid of 6 × 6 × 6: coarse enough for a texture and its blurred self to fall together."""
LEAST_KNOWN = 0.05
NEARNESS = 0.1
"""How much of the likeness the distance across the whole width costs."""


@dataclass(frozen=True, slots=True)
class KnownRows:
    """The rows of a row of windows, over the full width: pixels (h, width, 3) uint8, and where they are known (h, width)."""

    rows: Span

    pixels: Pixels
    known: NDArray[np.bool_]

    def around(self, rect: Rect, reach_px: int) -> tuple[Pixels, NDArray[np.bool_]]:
        """The pixels within `reach_px` of a rectangle of the image, and where they are known; of all these rows, where it lies
        below them."""
        rows = rect.rows.grow(reach_px).clip(self.rows)
        columns = rect.columns.grow(reach_px).clip(Span(0, self.known.shape[1]))
        box = (rows if rows.length else self.rows).shifted(-self.rows.start).slice, columns.slice
        return self.pixels[box], self.known[box]

    def reference(self, window: Rect, guide: Pixels) -> Pixels:
        """(h, window.width, 4) uint8: a stretch of these rows as wide as the window, RGB and validity.

        guide: of the window, (h, w, 4). Valid (255) are known pixels that the window does not see itself; RGB is 0 elsewhere.
        The stretch is the one whose colours cover those of the guide best, the nearer one where two do it as well.
        """
        beyond = self.known.copy()
        if window.rows == self.rows:
            beyond[:, window.columns.slice] = False
        starts = np.arange(0, self.known.shape[1] - window.width + 1, STEP_PX, dtype=np.intp)
        offered = _histograms(self.pixels, beyond, starts, window.width)
        wanted = _histogram(guide[::SAMPLE_PX, ::SAMPLE_PX, :3], guide[::SAMPLE_PX, ::SAMPLE_PX, 3] > 0)
        likeness = np.minimum(offered, wanted).sum(axis=1) / max(float(wanted.sum()), 1.0)
        cost = NEARNESS * np.abs(starts - window.x) / self.known.shape[1]
        start = int(starts[np.argmax(likeness - cost)])
        stretch = slice(start, start + window.width)
        valid = np.where(beyond[:, stretch], np.uint8(255), np.uint8(0))
        return np.dstack([np.where(valid[:, :, None] > 0, self.pixels[:, stretch], np.uint8(0)), valid])


class Surroundings:
    """What is known beside and above the windows of a stage, asked for from top to bottom. Memory: O(width × window)."""

    def __init__(self, mask: StageMask) -> None:
        self._mask = mask
        self._last: KnownRows | None = None

    def of(self, rows: Span, pixels: Pixels) -> KnownRows:
        """Those of `rows`, whose pixels are (h, width, channels); where next to nothing of them is known, the last above."""
        hole = self._mask.window(Rect(rows.start, 0, pixels.shape[0], pixels.shape[1])) > 0
        rgb = pixels[:, :, :3] if pixels.shape[2] > 1 else np.broadcast_to(pixels, (*pixels.shape[:2], 3))
        if self._last is None or np.count_nonzero(~hole) >= LEAST_KNOWN * hole.size:
            self._last = KnownRows(rows, rgb, ~hole)
        return self._last


def _bins(pixels: Pixels) -> NDArray[np.intp]:
    levels = pixels.astype(np.intp) * LEVELS // 256
    return (levels[..., 0] * LEVELS + levels[..., 1]) * LEVELS + levels[..., 2]


def _histogram(pixels: Pixels, counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.bincount(_bins(pixels)[counted], minlength=LEVELS**3).astype(np.float64)


def _histograms(pixels: Pixels, counted: NDArray[np.bool_], starts: NDArray[np.intp], width: int) -> NDArray[np.float64]:
    """(starts, LEVELS³): colours of a sample of the counted pixels in the stretch of `width` columns from each start."""
    sampled, taken = pixels[::SAMPLE_PX, ::SAMPLE_PX], counted[::SAMPLE_PX, ::SAMPLE_PX]
    columns = np.broadcast_to(np.arange(sampled.shape[1], dtype=np.intp), taken.shape)
    step = STEP_PX // SAMPLE_PX
    blocks = -(-sampled.shape[1] // step)
    flat = (columns // step) * LEVELS**3 + _bins(sampled)
    table = np.bincount(flat[taken], minlength=blocks * LEVELS**3).reshape(blocks, LEVELS**3)
    sums = np.zeros((blocks + 1, LEVELS**3), np.float64)
    np.cumsum(table, axis=0, out=sums[1:])
    first = starts // STEP_PX
    return sums[np.minimum(first + width // STEP_PX, blocks)] - sums[first]
