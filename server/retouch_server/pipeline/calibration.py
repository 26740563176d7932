"""How estimates fared against what came, and what follows from it."""

import math
from collections import deque
from statistics import median

KEPT = 100
WEIGHT = 0.15
"""Of a new edit in the moving average of the ratio."""
MOST_IN_FLIGHT = 8
MOST_RATIO = 4.0
"""One edit moves the average no further: a client that stops reading says nothing about the models."""


class Calibration:
    """The ratio of actual to estimated seconds, apart for each number of edits in flight when the estimate was made.

    Who shares the machine with an edit is known when it starts; who will come later is not. Under a steady load that shows in
    the ratio, and can be learnt from it.
    """

    def __init__(self) -> None:
        self._logs: dict[int, float] = {}
        self._errors: deque[float] = deque(maxlen=KEPT)

    def factor(self, in_flight: int) -> float:
        """What to multiply an estimate by, with `in_flight` other edits running; 1 before anything is known."""
        known = [number for number in self._logs if number <= min(in_flight, MOST_IN_FLIGHT)]
        return math.exp(self._logs[max(known)]) if known else 1.0

    def learn(self, raw_s: float, told_s: float, actual_s: float, in_flight: int) -> None:
        """An edit took `actual_s`; its estimate was `raw_s` before and `told_s` after the factor."""
        if min(raw_s, told_s, actual_s) <= 0:
            return
        self._errors.append(abs(told_s / actual_s - 1))
        number = min(in_flight, MOST_IN_FLIGHT)
        limit = math.log(MOST_RATIO)
        ratio = max(-limit, min(limit, math.log(actual_s / raw_s)))
        known = self._logs.get(number)
        self._logs[number] = ratio if known is None else known + WEIGHT * (ratio - known)

    @property
    def error(self) -> float:
        """Median of |estimated / actual - 1| over the last edits; 0 before any."""
        return median(self._errors) if self._errors else 0.0
