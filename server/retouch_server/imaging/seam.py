"""How visible the borders between tiles are."""

import numpy as np
from numpy.typing import NDArray

from retouch_server.imaging.rows import Pixels

FLOOR = 0.5
"""Mean gradient, in levels, below which a border counts as flat: rounding alone makes differences of that size."""


class SeamMeter:
    """Gradient across tile borders over the gradient just beside them; 1.0 = no trace of the border."""

    def __init__(self) -> None:
        self._across = 0.0
        self._beside = 0.0
        self._samples = 0

    def add(self, around: Pixels, axis: int, weight: NDArray[np.bool_] | None = None) -> None:
        """Measures along one border.

        around: scale + 1 lines of pixels before the border and as many after it: (n, 2 · scale + 2, channels) for axis 1,
        (2 · scale + 2, n, channels) for axis 0. Beside means one input pixel away: what an upscaler makes within an input
        pixel and between two differs by nature. weight: (n,), which pixels along the border count; all when None.
        """
        lines = around.swapaxes(0, 1) if axis == 0 else around
        if weight is not None:
            lines = lines[weight]
        if lines.size == 0:
            return
        steps = np.abs(np.diff(lines.astype(np.int16), axis=1)).mean(axis=2)
        before, across, after = steps[:, 0], steps[:, steps.shape[1] // 2], steps[:, -1]
        self._across += float(across.sum())
        self._beside += float(before.sum() + after.sum()) / 2
        self._samples += steps.shape[0]

    @property
    def score(self) -> float:
        """1.0 = no trace; 0 when no border was measured."""
        if not self._samples:
            return 0.0
        floor = FLOOR * self._samples
        return (self._across + floor) / (self._beside + floor)
