"""When an edit should end: what it and those that run already have left, run forward."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from retouch_server.pipeline.cost import shares

GRAIN = 1 / 128
"""Of the time that a leg would take at its present speed: no step is shorter, however many edits run, unless it is the last."""
_DONE_S = 1e-9


@dataclass(frozen=True, slots=True)
class Leg:
    """What is left of a stage, or of what follows the stages: `seconds` of machine time, in `windows` calls of `model`."""

    model: str
    seconds: float
    windows: float = 1.0

    def after(self, seconds: float) -> "Leg":
        """What is left once it had so much machine time."""
        left = max(0.0, 1 - seconds / self.seconds) if self.seconds else 0.0
        return replace(self, seconds=self.seconds * left, windows=self.windows * left)


def seconds_until_done(mine: Sequence[Leg], others: Sequence[Sequence[Leg]], at_once: int) -> float:
    """Seconds until an edit ends that has the legs `mine` ahead of it, if those with the legs `others` run on and nobody comes.

    Each goes its legs one after the other, with at most `at_once` windows at a time. Alone it takes the sum of its own seconds,
    and never longer than the sum of everybody's.
    """
    edits = [[leg for leg in edit if leg.seconds > _DONE_S] for edit in (mine, *others)]
    legs = [leg for edit in edits for leg in edit]
    numbers = {model: number for number, model in enumerate({leg.model for leg in legs})}
    models = np.array([numbers[leg.model] for leg in legs], np.intp)
    left_s = np.array([leg.seconds for leg in legs])
    per_s = np.array([leg.windows / leg.seconds for leg in legs])
    stop = np.cumsum([len(edit) for edit in edits])
    at, elapsed_s = np.array([0, *stop[:-1]]), 0.0
    while at[0] < stop[0]:
        at, stop = at[at < stop], stop[at < stop]
        parts = shares(models[at], np.clip(per_s[at] * left_s[at], 1.0, at_once))
        ends_s = left_s[at] / parts
        step_s = min(ends_s[0], max(ends_s.min(), GRAIN * ends_s[0]))
        # The machine does not idle: of who ends within the step others have the rest, so time goes on by what was done.
        done_s = np.minimum(left_s[at], step_s * parts)
        elapsed_s += float(done_s.sum())
        left_s[at] -= done_s
        at = at + (left_s[at] <= _DONE_S)
    return elapsed_s
