"""What clusters go through: a day, ten times the load at once, the loss of a zone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.capacity.fleet import Fleet
from benchmarks.capacity.load import DAY_S, Classes, Day, Rate, Step
from benchmarks.capacity.outcome import Outcome, outcome, recovery_s
from benchmarks.capacity.scaling import Settings
from benchmarks.capacity.stepped import Case, Course, simulate

EVENT_S = 900.0
"""When the step comes, or a zone goes: the cluster has settled by then."""
AFTER_S = 1800.0


@dataclass(frozen=True, slots=True)
class Result:
    """A scenario's cases and what became of them. recovered_s: (cases,), nothing for a day."""

    cases: Sequence[Case]
    course: Course
    outcomes: Sequence[Outcome]
    recovered_s: Sequence[float] = ()


def day(classes: Classes, fleet: Fleet, chosen: Sequence[tuple[float, Settings]], *, hours: float = 24.0) -> Result:
    """chosen: the most edits a second, and the settings. A shorter day is the first hours of one."""
    rates: dict[float, Rate] = {most: Day(most) for most, _ in chosen}
    cases = [Case(rates[most], settings, fleet) for most, settings in chosen]
    course = simulate(classes, cases, hours * 3600 if hours < 24 else DAY_S, 5.0)
    return Result(cases, course, _outcomes(classes, cases, course, 0.0))


def step(classes: Classes, fleet: Fleet, chosen: Sequence[tuple[float, Settings]]) -> Result:
    """A tenth of the edits a second, and all of them from one moment on."""
    rates: dict[float, Rate] = {most: Step(most / 10, most, EVENT_S) for most, _ in chosen}
    return _event(classes, [Case(rates[most], settings, fleet) for most, settings in chosen], np.inf)


def zone(classes: Classes, fleets: Sequence[Fleet], chosen: Sequence[tuple[float, Settings]]) -> Result:
    """Every third pod goes at once, under a steady load; fleets: one for each case."""
    rates: dict[float, Rate] = {most: Step(most, most, 0.0) for most, _ in chosen}
    cases = [Case(rates[most], settings, fleet) for (most, settings), fleet in zip(chosen, fleets, strict=True)]
    return _event(classes, cases, EVENT_S)


def _event(classes: Classes, cases: Sequence[Case], lose_zone_s: float) -> Result:
    course = simulate(classes, cases, EVENT_S + AFTER_S, 1.0, lose_zone_s=lose_zone_s)
    recovered = [recovery_s(classes, course, column, EVENT_S) for column in range(len(cases))]
    return Result(cases, course, _outcomes(classes, cases, course, EVENT_S), recovered)


def _outcomes(classes: Classes, cases: Sequence[Case], course: Course, since_s: float) -> list[Outcome]:
    return [outcome(classes, case, course, column, since_s=since_s) for column, case in enumerate(cases)]
