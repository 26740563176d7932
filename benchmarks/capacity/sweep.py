"""Which settings? Tried against the same days, steps and losses of a zone; a rule chooses.

The rule: the settings keep LIMITS at every rate, that of a day's queue with a tenth to spare; their replica-hours over the
bound, in the geometric mean of the rates, are within NEAR of the least; of these, the ones that are well soonest after a step,
and then those with the shortest queue.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import inf

import numpy as np

from benchmarks.capacity import scenarios
from benchmarks.capacity.fleet import Fleet
from benchmarks.capacity.load import Classes
from benchmarks.capacity.outcome import Outcome
from benchmarks.capacity.scaling import Settings

RATES = (1.0, 20.0, 200.0, 2000.0)
"""The most edits a second in a day."""
MOST_QUEUE_S = 2.0
MOST_REFUSED = 0.001
MOST_ZONE_S = 120.0
MOST_STEP_S = 300.0
CHOSEN_QUEUE_S = 0.9 * MOST_QUEUE_S
"""A tenth to spare, in what is chosen from: other seeds of the same day differ by 6 %."""
NEAR = 1.02
LIMITS = (
    f"in a day, 99 % of the edits wait {MOST_QUEUE_S:g} s at most ({CHOSEN_QUEUE_S:g} s to be chosen) and {MOST_REFUSED:.1%}"
    f" are refused; well again within {MOST_ZONE_S:g} s of the loss of a zone and {MOST_STEP_S:g} s of a tenfold step"
)


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings and what became of them, by rate. zone, step: and after how many seconds they were well again."""

    settings: Settings
    days: Sequence[Outcome]
    zones: Sequence[tuple[Outcome, float]]
    steps: Sequence[tuple[Outcome, float]]

    @property
    def cost(self) -> float:
        """Geometric mean of the days' costs."""
        return float(np.exp(np.mean([np.log(each.cost) for each in self.days])))

    @property
    def queue_s(self) -> float:
        """The 99th percentile at the worst rate."""
        return max(each.queue_s[2] for each in self.days)

    @property
    def zone_s(self) -> float:
        return max(seconds for _, seconds in self.zones)

    @property
    def step_s(self) -> float:
        return max(seconds for _, seconds in self.steps)

    @property
    def keeps_limits(self) -> bool:
        lived = [*self.days, *(outcome for outcome, _ in self.zones)]
        return (
            self.queue_s <= CHOSEN_QUEUE_S
            and max(each.refused for each in lived) <= MOST_REFUSED
            and self.zone_s <= MOST_ZONE_S
            and self.step_s <= MOST_STEP_S
        )


def grid(*, is_quick: bool) -> list[Settings]:
    """What decides most: the triggers, and how long a pool stays large; no less than Kubernetes' own five minutes, for pods
    that leave cost more than the steps know: they drain, and clients connect anew."""
    if is_quick:
        return [Settings(busy=busy) for busy in (inf, 1.3)]
    values = product((15.0, 30.0, 60.0), (4.0, 8.0), (inf, 1.2, 1.4, 1.5, 1.6), (300.0, 600.0))
    return [Settings(mp, pending, busy, stabilise_down_s=stable_s) for mp, pending, busy, stable_s in values]


def around(best: Settings, *, is_quick: bool) -> list[Settings]:
    """The best so far, with one of the other settings changed at a time."""
    changes: dict[str, Iterable[float]] = {"pending": (2.0, 16.0)}
    if not is_quick:
        changes |= {"up_percent": (50.0, 300.0), "down_percent": (10.0, 100.0), "stabilise_down_s": (900.0,), "least": (6,)}
    return [replace(best, **{name: value}) for name, values in changes.items() for value in values]


def run(classes: Classes, fleet: Fleet, settings: Sequence[Settings], rates: Sequence[float], hours: float) -> list[Trial]:
    """Every setting at every rate, through a day, the loss of a zone and a step."""
    chosen = [(rate, each) for each in settings for rate in rates]
    days = scenarios.day(classes, fleet, chosen, hours=hours)
    zones = scenarios.zone(classes, [fleet] * len(chosen), chosen)
    steps = scenarios.step(classes, fleet, chosen)
    trials: list[Trial] = []
    for first in range(0, len(chosen), len(rates)):
        rows = slice(first, first + len(rates))
        after = [list(zip(each.outcomes[rows], each.recovered_s[rows], strict=True)) for each in (zones, steps)]
        trials.append(Trial(settings[first // len(rates)], days.outcomes[rows], *after))
    return trials


def best_of(trials: Sequence[Trial]) -> Trial:
    """By the rule, as if all kept the limits where none does. Errors: ValueError without trials."""
    good = [trial for trial in trials if trial.keeps_limits] or trials
    least = min(trial.cost for trial in good)
    return min((trial for trial in good if trial.cost <= NEAR * least), key=lambda trial: (trial.step_s, trial.queue_s))


def sweep(
    classes: Classes, fleet: Fleet, rates: Sequence[float] = RATES, *, hours: float = 24.0, is_quick: bool = False
) -> list[Trial]:
    """All trials: the grid, and then what is around its best."""
    trials = run(classes, fleet, grid(is_quick=is_quick), rates, hours)
    return trials + run(classes, fleet, around(best_of(trials).settings, is_quick=is_quick), rates, hours)
