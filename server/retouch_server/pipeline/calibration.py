"""How estimates fared against what came, and what follows from it."""

from collections import deque
from statistics import median

import numpy as np
from numpy.typing import NDArray

from retouch_server.pipeline.cost import non_negative

KEPT = 100
FORGET = 0.9
"""Weight of what is known against one more edit."""
PRIOR = 0.1
"""Weight of the belief that an edit takes its own time and what the others in flight take from it, against edits seen."""
MOST_RATIO = 2.0
"""An edit that took longer or shorter than what was said by more than this says no more than one by this: a client that stops
reading says nothing of the machine."""


class Calibration:
    """What an edit takes, from what it would take alone and from who is there when it starts.

    Who shares the machine with an edit is known when it starts; who will come later is not. Under a steady load there always is
    somebody: then it takes its own time for each of those, however little of theirs was left. So the time is a sum with
    weights: its own seconds, those that edits in flight will take from it, and the rest of an equal share with these. The
    weights are those of least error over the last edits, relative to the geometric mean of said and actual: relative to what
    came, too long would count more than too short, and estimates shrink where the machine is restless.
    """

    def __init__(self) -> None:
        self._squares = PRIOR * np.eye(3)
        self._products = PRIOR * np.array([1.0, 1.0, 0.0])
        self._errors: deque[float] = deque(maxlen=KEPT)

    def seconds(self, own_s: float, wait_s: float, in_flight: int) -> float:
        """What an edit of `own_s` takes, from which `in_flight` others take `wait_s`: the sum before any is known."""
        return float(_features(own_s, wait_s, in_flight) @ non_negative(self._squares, self._products))

    def learn(self, own_s: float, wait_s: float, in_flight: int, told_s: float, actual_s: float) -> None:
        """An edit of which `told_s` was said took `actual_s`."""
        if min(own_s, told_s, actual_s) <= 0:
            return
        self._errors.append(abs(told_s / actual_s - 1))
        actual_s = min(max(actual_s, told_s / MOST_RATIO), told_s * MOST_RATIO)
        scale_s = (told_s * actual_s) ** 0.5
        row = _features(own_s, wait_s, in_flight) / scale_s
        self._squares = _forgotten(self._squares, np.eye(3)) + np.outer(row, row)
        self._products = _forgotten(self._products, np.array([1.0, 1.0, 0.0])) + row * (actual_s / scale_s)

    @property
    def error(self) -> float:
        """Median of |estimated / actual - 1| over the last edits; 0 before any."""
        return median(self._errors) if self._errors else 0.0


def _features(own_s: float, wait_s: float, in_flight: int) -> NDArray[np.float64]:
    return np.array([own_s, wait_s, max(0.0, own_s * in_flight - wait_s)])


def _forgotten(sums: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is known fades, the prior does not."""
    return FORGET * sums + (1 - FORGET) * PRIOR * prior
