"""Many clusters at once, in steps of time: the autoscaler's settings against a whole day, up to thousands of edits a second.

State: how many edits of each class are at each station of each cluster. The grain is an edit's stage, not its windows. The
windows that are out share the cores alike (processor sharing with a limit for each edit: Kleinrock 1967), so that one number,
the pace, says how much faster an edit would be alone. Windows go to pods in turn, whatever these have to do: with `a` windows
out per pod, Poisson(a) are at one, and some cores idle while others have a queue. Edits within a class have exponential sizes,
arrivals are Poisson; counts are whole numbers, drawn in each step (tau-leaping: Gillespie 2001), so that few edits fluctuate as
few do. events.py simulates each window and each pod instead, and says how far this agrees.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.capacity.fleet import CORES, SCRAPE_S, SMOOTH_S, TRIGGERS, ZONES, Fleet
from benchmarks.capacity.load import STATIONS, Classes, Rate
from benchmarks.capacity.scaling import SYNC_S, Autoscaler, Policy, Settings

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

LAG_S = SCRAPE_S / 2
"""How old a scraped figure is when the autoscaler asks, on average."""


@dataclass(frozen=True, slots=True)
class Case:
    """One cluster: what it is asked and how it is set."""

    rate: Rate
    settings: Settings
    fleet: Fleet
    start_rate: float | None = None
    """Edits a second that it is sized for at the start; None: those of the first second."""


@dataclass(frozen=True, slots=True)
class Course:
    """What happened, by step. (steps, cases) unless said otherwise.

    arrived, refused, cut (by the loss of a zone): edits. left: (cases,) still inside at the end. replicas (made and not gone),
    ready: (steps, stations, cases). pace: (steps, stations, cases), 1 where nobody waits. waited_s: queue for admission.
    """

    step_s: float
    arrived: Floats
    refused: Floats
    done: Floats
    cut: Floats
    left: Floats
    replicas: Floats
    ready: Floats
    pace: Floats
    waited_s: Floats


def busy_cores(windows_per_pod: Floats, cores: float = CORES) -> Floats:
    """Cores at work in a pod: the mean of min(X, cores) for X ~ Poisson(windows_per_pod)."""
    idle, term = np.zeros_like(windows_per_pod), np.exp(-windows_per_pod)
    for count in range(int(cores)):
        idle += (cores - count) * term
        term = term * windows_per_pod / (count + 1)
    return cores - idle


class Deployment:
    """The pods of one station in every case, and what makes and removes them. Replicas are whole numbers, in floats."""

    def __init__(self, cases: Sequence[Case], station: int, work_s: float, step_s: float) -> None:
        name = STATIONS[station]
        settings = [case.settings for case in cases]
        self._scaler = Autoscaler(Policy.of(settings, TRIGGERS[name]))
        rates = [float(case.rate(np.zeros(1))[0]) if case.start_rate is None else case.start_rate for case in cases]
        need = np.ceil(np.array(rates) * work_s / CORES / 0.6)
        self.wanted: Floats = np.clip(need, [each.least for each in settings], [each.most for each in settings])
        self.ready = self.wanted.copy()
        self.lost = np.zeros(len(cases))  # gone, but still counted as running
        delays = np.array([max(1, round(case.fleet.start_s(name) / step_s)) for case in cases])
        self._starting = np.zeros((int(delays.max()) + 1, len(cases)))
        self._delays, self._turn, self._columns = delays, 0, np.arange(len(cases))

    @property
    def replicas(self) -> Floats:
        return self.ready + self._starting.sum(axis=0)

    def scale(self, metrics: Floats) -> None:
        """What the autoscaler does in its turn. metrics: (triggers, cases)."""
        self.wanted = self._scaler.sync(self.wanted, metrics)

    def step(self) -> None:
        """Starts and stops pods until there are as many as wanted; pods that have started become ready."""
        slots = len(self._starting)
        self._turn += 1
        self.ready += self._starting[self._turn % slots]
        self._starting[self._turn % slots] = 0
        missing = self.wanted - self.replicas - self.lost
        self._starting[(self._turn + self._delays) % slots, self._columns] += np.maximum(missing, 0)
        surplus = np.maximum(-missing, 0)
        if surplus.any():
            starting = self._starting.sum(axis=0)
            kept = 1 - np.divide(np.minimum(surplus, starting), starting, out=np.zeros_like(starting), where=starting > 0)
            self._starting *= kept
            self.ready -= np.minimum(np.maximum(surplus - starting, 0), self.ready)

    def lose_zone(self) -> None:
        """A third of the pods stop at once; nobody counts them out yet."""
        self.lost = np.floor(self.ready / ZONES)
        self.ready -= self.lost


def simulate(
    classes: Classes, cases: Sequence[Case], duration_s: float, step_s: float, *, lose_zone_s: float = np.inf, seed: int = 1
) -> Course:
    """Runs all cases side by side; those with the same rate get the same arrivals."""
    steps, count, stations = round(duration_s / step_s), len(cases), len(STATIONS)
    arrivals, column = _arrivals(classes, cases, steps, step_s, seed)
    deployments = [Deployment(cases, i, work_s, step_s) for i, work_s in enumerate(classes.mean_work_s)]
    alone_s = np.maximum(classes.alone_s.T, 1e-9)[:, None, :]  # (stations, 1, classes)
    windows = np.where(classes.alone_s > 0, classes.work_s / np.maximum(classes.alone_s, 1e-9), 0).T[:, None, :]
    budget_px, queue = (np.array([getattr(case.fleet, name) for case in cases]) for name in ("budget_px", "queue"))
    unnoticed = np.array([case.fleet.unnoticed_s for case in cases])
    inside = np.zeros((stations, count, len(classes.px)), np.int64)
    waiting = np.zeros((count, len(classes.px)), np.int64)
    rng = np.random.default_rng(seed + 1)

    def some(edits: Counts, share: Floats) -> Counts:
        """Of each class and case, about that share; all where it is 1."""
        return edits if (share >= 1).all() else kept_of(edits, np.clip(share, 0, 1)[:, None])

    def kept_of(edits: Counts, share: Floats) -> Counts:
        return np.asarray(rng.binomial(edits, share), np.int64)

    by_case, by_station = (steps, count), (steps, stations, count)
    arrived, refused, done, cut, waited_s = np.zeros((5, *by_case))
    replicas, ready_pods, paces = np.zeros((3, *by_station))
    course = Course(step_s, arrived, refused, done, cut, np.zeros(count), replicas, ready_pods, paces, waited_s)
    lag, every, smooth = max(1, round(LAG_S / step_s)), max(1, round(SYNC_S / step_s)), max(1, round(SMOOTH_S / step_s))
    held_px = np.zeros(by_case)
    pending, busy = np.zeros((2, *by_station))
    for step in range(steps):
        now_s, coming = step * step_s, arrivals[step][column]
        ready = np.stack([each.ready for each in deployments])
        # Admission: pixels in flight within the budget, then a queue of so many edits, then refusal.
        wanting = waiting + coming
        in_px, wanting_px = inside.sum(axis=0) @ classes.px, wanting @ classes.px
        room_px = np.maximum(0, budget_px * ready[0] - in_px)
        admitted = some(wanting, np.divide(room_px, wanting_px, out=np.ones(count), where=wanting_px > room_px))
        waiting = wanting - admitted
        queued = waiting.sum(axis=1)
        places = queue * ready[0]
        waiting = some(waiting, np.divide(places, queued, out=np.ones(count), where=queued > places))
        course.arrived[step], course.refused[step] = coming.sum(axis=1), queued - waiting.sum(axis=1)
        rate = admitted.sum(axis=1) / step_s
        course.waited_s[step] = np.divide(waiting.sum(axis=1), rate, out=np.zeros(count), where=rate > 0)
        held_px[step] = in_px + (admitted + waiting) @ classes.px
        # Stations, one after the other: each class leaves at its pace, what comes in during the step included.
        flow = admitted
        out = (inside * windows).sum(axis=2)
        working = np.where(ready > 0, busy_cores(out / np.maximum(ready, 1e-9)) * ready, 0.0)
        pace = np.where(out > 1e-9, np.minimum(1, working / np.maximum(out, 1e-9)), np.where(ready > 0, 1.0, 0.0))
        for i in range(stations):
            turnover = pace[i][:, None] * step_s / alone_s[i]
            stay = np.exp(-turnover)
            mean_stay = np.divide(1 - stay, turnover, out=np.ones_like(stay), where=turnover > 1e-9)
            after = kept_of(inside[i], stay) + kept_of(flow, mean_stay)
            flow, inside[i] = inside[i] + flow - after, after
        course.done[step] = flow.sum(axis=1)
        course.pace[step], course.ready[step] = pace, ready
        pending[step], busy[step] = np.maximum(out - working, 0), working
        # Kubernetes.
        if now_s <= lose_zone_s < now_s + step_s:
            before = inside.sum(axis=(0, 2)) + waiting.sum(axis=1)
            for each in deployments:
                each.lose_zone()
            kept = np.divide(deployments[0].ready, ready[0], out=np.ones(count), where=ready[0] > 0)
            inside, waiting = some(inside, kept), some(waiting, kept)
            course.cut[step] = before - inside.sum(axis=(0, 2)) - waiting.sum(axis=1)
        for i, each in enumerate(deployments):
            each.lost[now_s >= lose_zone_s + unnoticed] = 0
            if step % every == every - 1 and step > lag:
                seen = step - lag
                minute = slice(max(0, seen - smooth), seen + 1)
                triton = (pending[seen, i], pending[minute, i].mean(axis=0), busy[minute, i].mean(axis=0))
                each.scale(np.stack(triton if i else (held_px[seen],)))
            each.step()
            course.replicas[step, i] = each.replicas
    course.left[:] = inside.sum(axis=(0, 2)) + waiting.sum(axis=1)
    return course


def _arrivals(
    classes: Classes, cases: Sequence[Case], steps: int, step_s: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """(steps, rates, classes): edits that come in each step; and for each case, which rate is its own."""
    rates = list(dict.fromkeys(case.rate for case in cases))
    seconds = (np.arange(steps, dtype=np.float64) + 0.5) * step_s
    expected = np.stack([rate(seconds) for rate in rates], axis=1)[:, :, None] * classes.share * step_s
    column = np.array([rates.index(case.rate) for case in cases])
    return np.random.default_rng(seed).poisson(expected), column
