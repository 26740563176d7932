"""HPA v2's arithmetic, by hand."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.capacity.scaling import Autoscaler, Policy, Settings


def scaler(**fields: float) -> Autoscaler:
    return Autoscaler(Policy.of([Settings(**fields)], ("pending", "busy")))  # type: ignore[arg-type]


def syncs(autoscaler: Autoscaler, current: float, metrics: Sequence[tuple[float, float]]) -> list[float]:
    """What replicas become, sync after sync."""
    seen: list[float] = []
    for pending, busy in metrics:
        current = float(autoscaler.sync(np.array([current]), np.array([[pending], [busy]]))[0])
        seen.append(current)
    return seen


def test_the_trigger_that_wants_more_wins() -> None:
    assert syncs(scaler(pending=2, busy=1.0, up_percent=900), 10, [(30, 12)]) == [15]
    assert syncs(scaler(pending=2, busy=1.0, up_percent=900), 10, [(10, 17)]) == [17]


def test_within_the_tolerance_nothing_changes() -> None:
    assert syncs(scaler(pending=1e9, busy=1.0), 100, [(0, 109), (0, 95)]) == [100, 100]


def test_up_at_most_by_its_policies() -> None:
    assert syncs(scaler(busy=1.0, up_percent=100), 3, [(0, 500)] * 3) == [7, 14, 28]
    assert syncs(scaler(busy=1.0, most=20), 3, [(0, 500)] * 4) == [7, 14, 20, 20]


def test_down_only_to_the_most_of_the_window_and_by_a_share_a_minute() -> None:
    chosen = scaler(pending=1e9, busy=1.0, stabilise_down_s=60, down_percent=20)
    assert syncs(chosen, 100, [(0, 100)] + [(0, 10)] * 11) == [100] * 5 + [80] * 5 + [64] * 2


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e4)), min_size=1, max_size=100), st.integers(3, 60))
def test_replicas_stay_within_bounds_and_policies(metrics: list[tuple[float, float]], current: int) -> None:
    seen = [float(current), *syncs(scaler(most=60), current, metrics)]
    assert all(3 <= replicas <= 60 and replicas == int(replicas) for replicas in seen[1:])
    assert all(after <= max(before + 4, 2 * before) for before, after in pairwise(seen))
    assert all(after >= np.floor(0.8 * before) for before, after in pairwise(seen))
