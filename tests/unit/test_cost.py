"""Machine time and what is learnt from it."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retouch_server.pipeline.cost import AT_ONCE, Cost, Shares, Work
from retouch_server.pipeline.cost import shares as parts_of


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_who_runs_alone_has_all_the_time() -> None:
    clock = Clock()
    shares = Shares(clock)
    clock.now_s = 5.0
    shares.enter("a", "x")
    shares.enter("a", "x")
    clock.now_s = 7.0
    shares.leave("a")
    clock.now_s = 8.0
    shares.leave("a")
    clock.now_s = 9.0
    assert shares.take("a") == 3.0
    assert shares.take("a") == 0.0


@pytest.mark.parametrize("queued", [2, 3, 9])
def test_models_share_by_the_windows_that_they_run_whatever_queues_at_them(queued: int) -> None:
    clock = Clock()
    shares = Shares(clock)
    shares.enter("a", "x")
    clock.now_s = 2.0
    for _ in range(queued):
        shares.enter("b", "y")
    clock.now_s = 8.0
    for _ in range(queued):
        shares.leave("b")
    clock.now_s = 9.0
    shares.leave("a")
    assert (shares.take("a"), shares.take("b")) == pytest.approx((2.0 + 2.0 + 1.0, 4.0))


def test_at_a_model_who_queues_with_more_windows_has_more_of_its_time() -> None:
    clock = Clock()
    shares = Shares(clock)
    for key in "abbb":
        shares.enter(key, "x")
    clock.now_s = 4.0
    for key in "abbb":
        shares.leave(key)
    assert (shares.take("a"), shares.take("b")) == (1.0, 3.0)
    assert shares.is_idle


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0.1, 100)), min_size=1, max_size=10))
def test_shares_sum_to_one_and_grow_with_what_a_model_runs(queued: list[tuple[int, float]]) -> None:
    models, windows = np.array([model for model, _ in queued]), np.array([count for _, count in queued])
    parts = parts_of(models, windows)
    assert parts.sum() == pytest.approx(1)
    running = {model: min(windows[models == model].sum(), AT_ONCE) for model in models}
    for model in models:
        assert parts[models == model].sum() == pytest.approx(running[model] / sum(running.values()))


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.floats(0, 10)), max_size=40))
def test_no_second_is_lost_or_counted_twice(steps: list[tuple[int, bool, float]]) -> None:
    clock = Clock()
    shares, busy_s = Shares(clock), 0.0
    inside: Counter[int] = Counter()
    for key, leaves, pause_s in steps:
        if leaves and inside[key]:
            shares.leave(key)
            inside[key] -= 1
        else:
            shares.enter(key, "xy"[key % 2])
            inside[key] += 1
        busy_s += pause_s * bool(inside.total())
        clock.now_s += pause_s
    assert sum(shares.take(key) for key in range(4)) == pytest.approx(busy_s)


def test_before_anything_is_measured_the_guess_counts() -> None:
    assert Cost((0.2, 1.0, 0.1)).seconds(Work(10, 2)) == pytest.approx(4.0)


def test_both_weights_are_found() -> None:
    rng, cost = np.random.default_rng(0), Cost((1.0, 1.0, 0.1))
    for _ in range(60):
        work = Work(float(rng.uniform(1, 50)), 0.0)
        work = Work(work.units, float(rng.uniform(0, 0.5)) * work.units)
        cost.learn(work, (0.3 * work.units + 2.0 * work.extra) * float(rng.uniform(0.9, 1.1)))
    assert cost.seconds(Work(10, 0)) == pytest.approx(3.0, rel=0.15)
    assert cost.seconds(Work(10, 5)) == pytest.approx(13.0, rel=0.1)


def test_what_lies_near_holes_is_told_from_the_holes() -> None:
    rng, cost = np.random.default_rng(0), Cost((1.0, 1.0, 0.1))
    for _ in range(60):
        windows = float(rng.integers(1, 12))
        hole, near = sorted(rng.uniform(0, 1, 2))
        cost.learn(Work(windows, hole * windows, near * windows), windows * (0.1 + 1.2 * hole + 0.3 * near))
    assert cost.seconds(Work(1, 0.1, 0.2)) == pytest.approx(0.28, rel=0.1)
    assert cost.seconds(Work(1, 0.1, 0.9)) == pytest.approx(0.49, rel=0.1)


def test_what_a_start_costs_is_told_from_what_windows_cost() -> None:
    rng, cost = np.random.default_rng(0), Cost((1.0, 1.0, 0.1))
    for _ in range(60):
        units = float(rng.integers(1, 12))
        cost.learn(Work(units, starts=1), 2.0 + 0.5 * units)
    assert cost.seconds(Work(1, starts=1)) == pytest.approx(2.5, rel=0.05)
    assert cost.seconds(Work(20, starts=1)) == pytest.approx(12.0, rel=0.05)


def test_what_is_not_measured_stays_at_the_guess() -> None:
    cost = Cost((1.0, 2.0, 0.1))
    for _ in range(30):
        cost.learn(Work(10, 0), 5.0)
    assert cost.seconds(Work(10, 0)) == pytest.approx(5.0, rel=0.05)
    assert cost.seconds(Work(0, 10)) == pytest.approx(20.0)


def test_a_slower_machine_is_noticed() -> None:
    cost = Cost((1.0, 0.0, 0.1))
    for seconds in [10.0] * 20 + [30.0] * 20:
        cost.learn(Work(10), seconds)
    assert cost.seconds(Work(10)) == pytest.approx(30.0, rel=0.15)


@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 1), st.floats(0.01, 1000)), max_size=30))
def test_an_estimate_is_never_negative_and_grows_with_the_work(told: list[tuple[float, float, float]]) -> None:
    cost = Cost((0.5, 1.0, 0.1))
    for windows, share, seconds in told:
        cost.learn(Work(windows, share * windows), seconds)
    little, much = cost.seconds(Work(1, 0.5)), cost.seconds(Work(2, 1.5))
    assert 0 <= little <= much
    cost.learn(Work(0, 0), 3.0)
    cost.learn(Work(3, 0), 0.0)
    assert cost.seconds(Work(1, 0.5)) == little


def test_work_far_below_a_unit_is_overhead_and_hardly_counts() -> None:
    cost = Cost((1.0, 1.0, 0.1))
    for _ in range(30):
        cost.learn(Work(1e-5), 0.05)
    assert cost.seconds(Work(1)) == pytest.approx(1.0, rel=0.01)
