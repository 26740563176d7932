"""What a simulated cluster's course comes to: queue times, refusals, replica-hours, and how soon it is well again."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.capacity.fleet import CORES
from benchmarks.capacity.load import Classes, Rate
from benchmarks.capacity.stepped import Case, Course

Floats = NDArray[np.float64]

WELL_S = 1.0
"""A cluster is well while edits wait no longer on average, and none is refused."""
WINDOW_S = 30.0
STEADY_S = 300.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one case. queue_s: 50th, 95th and 99th percentile over edits. refused, cut: shares of the edits that came.
    bound_hours: replica-hours of a cluster that knows the future, fills every core and starts pods in no time."""

    queue_s: tuple[float, float, float]
    refused: float
    cut: float
    replica_hours: float
    bound_hours: float
    most_replicas: float

    @property
    def cost(self) -> float:
        """Replica-hours over the least possible."""
        return self.replica_hours / self.bound_hours


def outcome(classes: Classes, case: Case, course: Course, column: int, *, since_s: float = 0.0) -> Outcome:
    """Of the case in that column, from `since_s` on."""
    first = round(since_s / course.step_s)
    waits = queue_times(classes, course, column, every=max(1, round(10 / course.step_s)))
    arrived = course.arrived[first:, column]
    waits_s, weights = waits.seconds[waits.steps >= first], waits.weights[waits.steps >= first]
    percentiles = weighted_percentiles(waits_s.ravel(), weights.ravel(), (50, 95, 99))
    replicas = course.replicas[first:, :, column].sum(axis=1)
    seconds = (np.arange(first, len(course.arrived), dtype=np.float64) + 0.5) * course.step_s
    came = max(float(arrived.sum()), 1.0)
    return Outcome(
        percentiles,
        float(course.refused[first:, column].sum()) / came,
        float(course.cut[first:, column].sum()) / came,
        float(replicas.sum()) * course.step_s / 3600,
        bound_hours(classes, case.rate, seconds, course.step_s),
        float(replicas.max()),
    )


def bound_hours(classes: Classes, rate: Rate, seconds: Floats, step_s: float) -> float:
    """The fewest whole pods of each station, one at least, that keep up with the rate at each moment; in replica-hours."""
    pods = np.maximum(1, np.ceil(rate(seconds)[:, None] * classes.mean_work_s / CORES))
    return float(pods.sum()) * step_s / 3600


@dataclass(frozen=True, slots=True)
class QueueTimes:
    """steps: (n,). seconds: (n, classes), how much longer an edit of that class that came in that step took than alone.
    weights: (n, classes), edits."""

    steps: NDArray[np.int64]
    seconds: Floats
    weights: Floats

    @property
    def means_s(self) -> Floats:
        """(n,), over the classes."""
        return (self.seconds * self.weights).sum(axis=1) / np.maximum(self.weights.sum(axis=1), 1e-9)


def queue_times(classes: Classes, course: Course, column: int, every: int = 1) -> QueueTimes:
    """Follows an edit of each class from each step through admission and stations: at each it leaves once the station has
    gone as far, at its pace, as the edit needs alone."""
    steps = np.arange(0, len(course.arrived), every)
    ends_s = np.arange(len(course.arrived) + 1) * course.step_s
    arrived_s = (steps[:, None] + 0.5) * course.step_s + np.zeros(len(classes.px))
    now_s = arrived_s + np.interp(arrived_s, ends_s[:-1], course.waited_s[:, column])
    for station in range(course.pace.shape[1]):
        gone = np.concatenate([[0.0], np.cumsum(np.maximum(course.pace[:, station, column], 1e-9)) * course.step_s])
        now_s = np.interp(np.interp(now_s, ends_s, gone) + classes.alone_s[:, station], gone, ends_s)
    came = np.add.reduceat(course.arrived[:, column], steps)[:, None] * classes.share
    return QueueTimes(steps, np.maximum(0.0, now_s - arrived_s - classes.alone_s.sum(axis=1)), came)


def weighted_percentiles(values: Floats, weights: Floats, percents: tuple[float, ...]) -> tuple[float, ...]:
    """Of `values`, each of which counts as often as its weight says. 0 where nothing has weight."""
    order = np.argsort(values)
    mass = np.cumsum(weights[order])
    if not len(mass) or mass[-1] <= 0:
        return tuple(0.0 for _ in percents)
    return tuple(float(values[order[np.searchsorted(mass, percent / 100 * mass[-1])]]) for percent in percents)


def recovery_s(classes: Classes, course: Course, column: int, event_s: float) -> float:
    """Seconds from the event until the cluster is well, and stays so for STEADY_S: edits that come wait no longer than WELL_S
    on average, and none is refused, by half minutes. inf where it never is."""
    every = round(WINDOW_S / course.step_s)
    waits = queue_times(classes, course, column, every)
    is_ill = (waits.means_s > WELL_S) | (np.add.reduceat(course.refused[:, column], waits.steps) > 0)
    first, steady = round(event_s / WINDOW_S), round(STEADY_S / WINDOW_S)
    for begin in range(first, len(is_ill) - steady + 1):
        if not is_ill[begin : begin + steady].any():
            return (begin - first) * WINDOW_S
    return float("inf")
