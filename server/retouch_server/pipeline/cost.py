"""What work costs, learnt while serving.

Machine time is what counts: models that are at work share every second by how many windows each runs at once, and a stage
gets of that what its windows are among all that queue there, first come, first served (discriminatory processor sharing:
Kleinrock 1967; Fayolle, Mitrani, Iasnogorodski 1980). So the cost of a window comes out alike whether one edit runs or ten,
and waiting is told apart from work.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 2
"""Windows that a model runs at once, those of others waiting: as many as the shipped models have instances."""


def shares(models: NDArray[np.intp], windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of the machine that each has which keeps `windows` (> 0) at one of the `models` (numbers). They sum to 1.

    A model's part grows with the windows that it runs; among those who keep windows there it is split in proportion to them,
    since it takes them in the order in which they came.
    """
    queues = np.bincount(models, windows)
    running = np.minimum(queues, AT_ONCE)
    return windows / queues[models] * running[models] / running.sum()


class Shares:
    """Splits time among the keys that have windows at models, as `shares` says."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers: dict[str, int] = {}  # of models
        self._running: dict[Hashable, tuple[int, int]] = {}  # key: number of its model, windows
        self._seconds: dict[Hashable, float] = {}
        self._since_s = clock()

    def enter(self, key: Hashable, model: str) -> None:
        """From now on `key` has one more window at `model`, which is the same as long as it has any."""
        self._settle()
        number = self._numbers.setdefault(model, len(self._numbers))
        self._running[key] = (number, self._running.get(key, (number, 0))[1] + 1)

    def leave(self, key: Hashable) -> None:
        """Takes one `enter` back."""
        self._settle()
        number, windows = self._running.pop(key)
        if windows > 1:
            self._running[key] = (number, windows - 1)

    def take(self, key: Hashable) -> float:
        """The machine seconds of `key`, which is then forgotten."""
        self._settle()
        return self._seconds.pop(key, 0.0)

    @property
    def is_idle(self) -> bool:
        """Whether it holds no key: nobody takes part, and everybody's seconds were taken."""
        return not self._running and not self._seconds

    def _settle(self) -> None:
        now_s = self._clock()
        if self._running:
            models, windows = np.array(list(self._running.values()), np.intp).T
            parts = shares(models, windows.astype(np.float64))
            for key, part in zip(self._running, parts.tolist(), strict=True):
                self._seconds[key] = self._seconds.get(key, 0.0) + part * (now_s - self._since_s)
        self._since_s = now_s


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: `units` of something, such as windows, what makes it dearer, such as windows' worth of hole and of
    what lies near it, what needs no model, such as windows that are filled from a small copy, and how often it is begun, such
    as a stage: its last windows leave some of the machine idle, and under load its first ones wait behind others'."""

    units: float
    extra: float = 0.0
    near: float = 0.0
    light: float = 0.0
    starts: float = 0.0

    @property
    def features(self) -> NDArray[np.float64]:
        return np.array([self.units, self.extra, self.near, self.light, self.starts])


FORGET = 0.9
"""Weight of what is known against one new measurement."""
PRIOR = 0.01
"""Weight of the first guess: it decides what the measurements leave open, such as the cost of holes while none came."""


@dataclass(slots=True)
class Cost:
    """Machine seconds of work: units · a + extra · b + near · c + light · d + starts · e, none of them negative, by least
    squares per unit with forgetting.

    guess: a, b and d before anything is measured; c and e are then 0.
    """

    guess: tuple[float, float, float]
    measured: int = 0
    _squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros((5, 5)))
    _products: NDArray[np.float64] = field(default_factory=lambda: np.zeros(5))

    def learn(self, work: Work, seconds: float) -> None:
        """`work` took `seconds`. Nothing is learnt from nothing."""
        if work.units + work.light <= 0 or seconds <= 0:
            return
        weight = 1 / max(
            work.units + work.light, 1.0
        )  # small and large stages count alike, but for those that are overhead more than work
        row = work.features * weight
        self._squares = FORGET * self._squares + np.outer(row, row)
        self._products = FORGET * self._products + row * (seconds * weight)
        self.measured += 1

    def seconds(self, work: Work) -> float:
        """What `work` should take."""
        return float(work.features @ self._weights())

    def _weights(self) -> NDArray[np.float64]:
        window_s, hole_s, light_s = self.guess
        guess = np.array([window_s, hole_s, 0.0, light_s, 0.0])
        if not self.measured:
            return guess
        ridge = PRIOR * np.eye(len(guess))
        return non_negative(self._squares + ridge, self._products + ridge @ guess)


def non_negative(squares: NDArray[np.float64], products: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights w ≥ 0 of which |A w - b|² is least, from AᵀA and Aᵀb; of all choices of those that are 0 the best.

    For a handful of weights: 2^n small systems, the first of which, with none at 0, nearly always is the answer.
    """
    n = len(products)
    best, least = np.zeros(n), 0.0
    for chosen in range(2**n - 1, 0, -1):
        free = [i for i in range(n) if chosen >> i & 1]
        found = np.linalg.solve(squares[np.ix_(free, free)], products[free])
        if (found < 0).any():
            continue
        weights = np.zeros(n)
        weights[free] = found
        if len(free) == n:
            return weights
        loss = float(weights @ squares @ weights - 2 * products @ weights)
        if loss < least:
            best, least = weights, loss
    return best
