"""The simulation by events against what is known of queues, and of the house's promises."""

import math
from collections.abc import Generator

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.capacity.events import Batch, Cluster, Edit, Pod, Tally
from benchmarks.capacity.fleet import Fleet
from benchmarks.capacity.load import Edits, Step, sample
from benchmarks.capacity.scaling import Settings
from benchmarks.capacity.times import Measured

MEASURED = Measured.load()
FLEET = Fleet({"orchestrator": 5.0, "restore": 5.0, "upscale": 5.0})


def cluster(rate: Step, chosen: Settings, *, count: int = 4000, fleet: Fleet = FLEET, seed: int = 1) -> Cluster:
    return Cluster(rate, sample(MEASURED, count, np.random.default_rng(seed)), chosen, fleet, seed=seed)


@pytest.mark.parametrize(("cores", "load"), [(1, 0.5), (2, 0.8), (8, 0.7)])
def test_a_pod_waits_as_erlang_says(cores: int, load: float) -> None:
    """M/M/c: the mean wait is C(c, λ/μ) / (cμ - λ) (Erlang 1917); and L = λW (Little 1961)."""
    rng, env = np.random.default_rng(7), simpy.Environment()
    offered, count = load * cores, 120_000
    arrivals_s = np.cumsum(rng.exponential(1 / offered, count))
    service_s, ends_s = rng.exponential(1.0, count), np.zeros(count)

    def done(batch: Batch) -> None:
        ends_s[batch.edit.number] = env.now

    pod = Pod(env, cores, done, Tally())
    inside_s, last_s = 0.0, 0.0

    def arrive() -> Generator[simpy.Event, None, None]:
        nonlocal inside_s, last_s
        for number in range(count):
            yield env.timeout(arrivals_s[number] - env.now)
            inside_s += (len(pod.running) + len(pod.queue)) / offered  # what arrivals see is the mean over time (PASTA)
            pod.submit(Batch(Edit(number, 1.0, env.now, 0.0), pod, 1, float(service_s[number]), 0, 1))

    env.process(arrive())
    env.run()
    waits_s = ends_s - arrivals_s - service_s
    full = offered**cores / math.factorial(cores) / (1 - load)
    erlang_c = full / (sum(offered**k / math.factorial(k) for k in range(cores)) + full)
    assert waits_s.mean() == pytest.approx(erlang_c / (cores - offered), rel=0.08)
    assert inside_s / (count / offered) == pytest.approx(offered * (ends_s - arrivals_s).mean(), rel=0.03)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), busy=st.sampled_from([0.6, 1.3, math.inf]), loses=st.booleans())
def test_edits_are_conserved(seed: int, busy: float, loses: bool) -> None:
    """Each edit that came is done, refused or cut, once everybody has had time to finish; and nothing is left at any pod."""
    model = cluster(Step(2, 12, 30), Settings(busy=busy), fleet=Fleet(FLEET.serves_s, budget_px=20e6, queue=3), seed=seed)
    history = model.run(90, lose_zone_s=60 if loses else math.inf, drain_s=900)
    counts = [history.count(outcome) for outcome in ("done", "refused", "cut")]
    assert sum(counts) == len(history.edits) > 100
    assert loses or counts[2] == 0
    for pool in model.pools:
        assert all(pod.is_idle and not pod.waiting for pod in (*pool.ready, *pool.leaving))
        assert all(pod.held_px == pytest.approx(0, abs=1) for pod in pool.ready)


def test_fewer_replicas_cut_no_stream() -> None:
    """The load falls to a hundredth, pods leave while edits are inside, and each of these ends well."""
    chosen = Settings(stabilise_down_s=15, down_percent=100, orchestrator_mp=3)
    model = cluster(Step(40, 0.4, 120), chosen)
    history = model.run(400, drain_s=120)
    replicas = np.array(history.replicas)
    assert (replicas[-1] < replicas[:150].max(axis=0)).all(), "all three pools became smaller"
    assert len(history.edits) == history.count("done")


def test_edits_of_a_lost_zone_are_cut_and_the_others_go_on() -> None:
    model = cluster(Step(10, 10, 0), Settings())
    history = model.run(150, lose_zone_s=60, drain_s=300)
    cut = [edit for edit in history.edits if edit.outcome == "cut"]
    assert cut
    assert all(edit.arrived_s < 61 for edit in cut)
    assert len(cut) + history.count("done") == len(history.edits)


def test_alone_an_edit_does_not_wait() -> None:
    history = cluster(Step(0.02, 0.02, 0), Settings(least=6)).run(5000, drain_s=200)
    assert len(history.edits) > 50
    assert np.percentile(history.queued_s(), 90) < 0.01


def test_a_full_queue_refuses() -> None:
    one = Edits(np.full(50, 1e6), np.tile([100.0, 0, 0], (50, 1)), np.tile([1.0, 0, 0], (50, 1)), np.tile([1.0, 0, 0], (50, 1)))
    tight = Fleet(FLEET.serves_s, budget_px=1e6, queue=1)
    model = Cluster(Step(100, 100, 0), one, Settings(least=1, most=1), tight)
    history = model.run(5)
    assert history.count("refused") == 48, "one is worked on, one waits"
