"""How visible the borders between tiles are."""

import numpy as np
from numpy.typing import NDArray

from retouch_server.imaging.blend import Joint

FLOOR = 0.5
"""Mean gradient, in levels, below which a border counts as flat: rounding alone makes differences of that size."""


class SeamMeter:
    """Gradient across tile borders over the gradient beside them; 1.0 = no trace.

    Each is taken over what the two tiles have there themselves, which both know, since they overlap: or else a fence along a
    border would count as a seam, and a horizon beside it would hide one.
    """

    def __init__(self) -> None:
        self._steps = np.zeros(2)
        self._own = np.zeros(2)
        self._samples = 0

    def add(self, joint: Joint, weight: NDArray[np.bool_] | None = None, inside: slice = slice(None)) -> None:
        """Measures along one border. inside: which part of it; weight: which pixels of that count, all when None."""
        steps, own = joint.steps[:, inside], joint.own[:, inside]
        if weight is not None:
            steps, own = steps[:, weight], own[:, weight]
        self._steps += steps.sum(axis=1)
        self._own += own.sum(axis=1)
        self._samples += steps.shape[1]

    @property
    def score(self) -> float:
        """1.0 = no trace; 0 when no border was measured."""
        if not self._samples:
            return 0.0
        floor = FLOOR * self._samples
        across, beside = (self._steps + floor) / (self._own + floor)
        return float(across / beside)
