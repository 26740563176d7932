"""Whether the simulation in steps says what the one by events says, where both can be run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.capacity.events import Cluster
from benchmarks.capacity.fleet import Fleet
from benchmarks.capacity.load import Classes, Day, Later, Step, sample
from benchmarks.capacity.outcome import outcome
from benchmarks.capacity.scaling import Settings
from benchmarks.capacity.stepped import Case, simulate
from benchmarks.capacity.times import Measured


@dataclass(frozen=True, slots=True)
class Seen:
    """By one simulation. queue_s: 50th, 95th and 99th percentile; cut, refused: shares."""

    queue_s: tuple[float, ...]
    refused: float
    cut: float
    replica_hours: float


@dataclass(frozen=True, slots=True)
class Pair:
    """The same by both."""

    what: str
    edits: int
    events: Seen
    steps: Seen

    @property
    def hours_ratio(self) -> float:
        """Replica-hours in steps over those by events."""
        return self.steps.replica_hours / self.events.replica_hours


def agreement(measured: Measured, classes: Classes, settings: Settings, *, is_quick: bool = False) -> Sequence[Pair]:
    """A morning with its crowd, a tenfold step, and the loss of a zone."""
    fleet = Fleet.of(measured)
    morning = Later(Day(20.0), 6.5 * 3600)
    if is_quick:
        return [_pair("40 edits/s", measured, classes, Case(Step(40, 40, 0), settings, fleet), 240)]
    return [
        _pair("a morning of 2 edits/s", measured, classes, Case(Later(Day(2.0), 6 * 3600), settings, fleet), 14400),
        _pair("a morning of 20 edits/s with its crowd", measured, classes, Case(morning, settings, fleet), 5400),
        _pair("a step from 10 to 100 edits/s", measured, classes, Case(Step(10, 100, 600), settings, fleet), 1500),
        _pair("a zone lost at 100 edits/s", measured, classes, Case(Step(100, 100, 0), settings, fleet), 1200, 600),
    ]


def _pair(what: str, measured: Measured, classes: Classes, case: Case, duration_s: float, lose_zone_s: float = np.inf) -> Pair:
    expected = float(case.rate(np.arange(duration_s)).sum())
    edits = sample(measured, int(expected + 6 * expected**0.5), np.random.default_rng(3))
    history = Cluster(case.rate, edits, case.settings, case.fleet).run(duration_s, lose_zone_s=lose_zone_s)
    percentiles = tuple(float(q) for q in np.percentile(history.queued_s(), (50, 95, 99)))
    came = len(history.edits)
    by_events = Seen(percentiles, history.count("refused") / came, history.count("cut") / came, sum(history.pod_s) / 3600)
    course = simulate(classes, [case], duration_s, 1.0, lose_zone_s=lose_zone_s)
    found = outcome(classes, case, course, 0)
    return Pair(what, came, by_events, Seen(found.queue_s, found.refused, found.cut, found.replica_hours))
