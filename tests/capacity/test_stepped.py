"""The simulation in steps: what must hold whatever the settings, and where the other one agrees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.capacity import load, outcome, stepped
from benchmarks.capacity.agreement import agreement
from benchmarks.capacity.fleet import CORES, Fleet
from benchmarks.capacity.load import Classes, Day, Step
from benchmarks.capacity.scaling import Settings
from benchmarks.capacity.stepped import Case, Course
from benchmarks.capacity.times import Measured
from retouch_server.tiling import TileGrid

MEASURED = Measured.load()
FLEET = Fleet.of(MEASURED)
MIX = load.classes(MEASURED, count=5000)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    rate=st.sampled_from([0.5, 30.0, 900.0]),
    lose_zone_s=st.sampled_from([np.inf, 100.0]),
    busy=st.sampled_from([0.8, 1.3, np.inf]),
)
def test_edits_are_conserved(seed: int, rate: float, lose_zone_s: float, busy: float) -> None:
    case = Case(Step(rate / 10, rate, 60), Settings(busy=busy), FLEET)
    course = stepped.simulate(MIX, [case, case], 300, 1.0, lose_zone_s=lose_zone_s, seed=seed)
    ended = course.done.sum(axis=0) + course.refused.sum(axis=0) + course.cut.sum(axis=0)
    assert (course.arrived.sum(axis=0) == ended + course.left).all()
    assert course.arrived.sum() > 0
    assert (course.pace <= 1).all()


def test_busy_cores_are_those_of_a_poisson_number_of_windows() -> None:
    drawn = np.random.default_rng(1).poisson(1.7, 400_000)
    assert stepped.busy_cores(np.array([1.7]))[0] == pytest.approx(np.minimum(drawn, CORES).mean(), rel=0.01)
    assert stepped.busy_cores(np.array([0.0, 50.0])) == pytest.approx([0, CORES])


def test_a_settled_pool_works_as_much_as_comes() -> None:
    """Little: cores at work = rate × work; the scaler then keeps `busy` of them per pod, within its tolerance."""
    case = Case(Step(200, 200, 0), Settings(busy=1.2, pending=1e9), Fleet(FLEET.serves_s, budget_px=1e12))
    course = stepped.simulate(MIX, [case], 1500, 1.0)
    for station in (1, 2):
        pods = course.replicas[900:, station, 0].mean()
        assert 200 * MIX.mean_work_s[station] / pods == pytest.approx(1.2, rel=0.15)


def test_both_simulations_agree() -> None:
    (pair,) = agreement(MEASURED, MIX, Settings(), is_quick=True)
    assert pair.hours_ratio == pytest.approx(1, abs=0.15)
    assert pair.events.refused == pair.steps.refused == 0
    assert pair.steps.queue_s[1] == pytest.approx(pair.events.queue_s[1], abs=1.0)


def test_queue_times_follow_the_pace() -> None:
    """At half the pace an edit takes twice as long; admission's wait comes on top."""
    one = Classes(np.ones(1), np.ones(1), np.array([[0.0, 4.0, 0.0]]), np.array([[0.0, 2.0, 0.0]]))
    steps = 100
    pace = np.ones((steps, 3, 1))
    pace[:, 1] = 0.5
    flat = np.ones((steps, 1))
    course = Course(1.0, flat, flat * 0, flat, flat * 0, np.zeros(1), pace, pace, pace, flat * 3.0)
    waits = outcome.queue_times(one, course, 0)
    assert waits.seconds[10:50] == pytest.approx(3 + 2.0)


@given(side=st.integers(50, 6000), model=st.sampled_from(sorted(MEASURED.models)))
@settings(max_examples=60, deadline=None)
def test_windows_are_those_of_the_product(side: int, model: str) -> None:
    times = MEASURED.models[model]
    grid = TileGrid(side, side, times.window_px, times.halo_px, 0)
    assert load._windows(np.array([side**2 / 1e6]), times)[0] == len(grid)  # pyright: ignore[reportPrivateUsage]


def test_the_day_is_most_at_its_busiest() -> None:
    rates = Day(50)(np.arange(0, load.DAY_S, 5.0))
    assert rates.max() == pytest.approx(50)
    assert rates.min() > 0


def test_classes_do_the_same_work_as_edits() -> None:
    edits = load.sample(MEASURED, 5000, np.random.default_rng(1))
    assert MIX.mean_work_s == pytest.approx(edits.work_s.mean(axis=0))
    assert MIX.share.sum() == pytest.approx(1)
