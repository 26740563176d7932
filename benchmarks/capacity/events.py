"""One cluster, event by event (SimPy): each edit, each window, each pod. It says how far stepped.py may be believed.

An edit goes to the next orchestrator in turn, waits for admission there as in pipeline/admission.py, and takes its slices of
that pod's cores; the windows of each stage go, so many at once, to the Triton pods in turn (models/pools.py). A pod serves what
it was sent in order. A pod that is removed gets no more work and leaves once what it has is done; one whose zone is lost
vanishes: its windows are sent elsewhere, and the edits of a lost orchestrator are cut.
"""

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import simpy
from numpy.typing import NDArray

from benchmarks.capacity.fleet import CORES, SCRAPE_S, SMOOTH_S, TRIGGERS, ZONES, Fleet
from benchmarks.capacity.load import STATIONS, Edits, Rate
from benchmarks.capacity.scaling import SYNC_S, Autoscaler, Policy, Settings

Floats = NDArray[np.float64]


@dataclass(eq=False, slots=True)
class Batch:
    """The tasks of an edit at a station: `left` to send, `out` sent and not done, each of `task_s`. home: its orchestrator."""

    edit: "Edit"
    home: "Pod"
    station: int
    task_s: float
    left: int
    out: int = 0


Done = Callable[[Batch], None]


@dataclass(slots=True)
class Tally:
    """What Triton counts: seconds that tasks waited, and that they ran. Of all pods of a pool together."""

    waited_s: float = 0.0
    busy_s: float = 0.0


class Pod:
    """Cores that serve tasks in the order in which they came; `done` is told of each. An orchestrator's also hold edits."""

    def __init__(self, env: simpy.Environment, cores: int, done: Done, tally: Tally, zone: int = 0) -> None:
        self._env, self._cores, self._done, self._tally, self.zone = env, cores, done, tally, zone
        self.queue: deque[tuple[Batch, float]] = deque()  # and since when it waits
        self.running: dict[int, Batch] = {}
        self.is_leaving = self.is_lost = False
        self.inside: set[Edit] = set()
        self.waiting: deque[Edit] = deque()
        self.held_px = 0.0
        self._numbers, self._turn = count(), zone

    def take_turn(self) -> int:
        """Each orchestrator counts for itself which Triton pod gets its next window."""
        self._turn += 1
        return self._turn

    def submit(self, batch: Batch) -> None:
        """One task of `batch`."""
        if len(self.running) < self._cores:
            self._begin(batch)
        else:
            self.queue.append((batch, self._env.now))

    def _begin(self, batch: Batch) -> None:
        number = next(self._numbers)
        self.running[number] = batch
        ends = self._env.timeout(batch.task_s)
        assert ends.callbacks is not None
        ends.callbacks.append(lambda _: self._end(number))

    def _end(self, number: int) -> None:
        if self.is_lost:
            return
        batch = self.running.pop(number)
        self._tally.busy_s += batch.task_s
        if self.queue:
            following, since_s = self.queue.popleft()
            self._tally.waited_s += self._env.now - since_s
            self._begin(following)
        self._done(batch)

    @property
    def is_idle(self) -> bool:
        return not self.running and not self.queue and not self.inside


@dataclass(eq=False, slots=True)
class Edit:
    """An edit under way. arrived_s, admitted_s, done_s: simulated time. outcome: done, refused or cut; empty while it runs."""

    number: int
    px: float
    arrived_s: float
    alone_s: float
    admitted_s: float = 0.0
    done_s: float = 0.0
    outcome: str = ""

    @property
    def queued_s(self) -> float:
        """How much longer it took than it would have alone."""
        return max(0.0, self.done_s - self.arrived_s - self.alone_s)


class Pool:
    """A Deployment: pods that start, serve in turn, leave, and are scaled. Pod-seconds count from a pod's making to its end."""

    def __init__(self, env: simpy.Environment, station: str, fleet: Fleet, settings: Settings, done: Done) -> None:
        self._env, self._fleet, self._station, self._done = env, fleet, station, done
        self._scaler = Autoscaler(Policy.of([settings], TRIGGERS[station]))
        self.ready: list[Pod] = []
        self.leaving: list[Pod] = []
        self._starting: list[float] = []  # when each will be ready
        self.lost, self.wanted, self.pod_s, self.tally, self._zones = 0, 0, 0.0, Tally(), count()

    def begin(self, replicas: int) -> None:
        """Has so many pods, ready at once."""
        self.wanted = replicas
        for _ in range(replicas):
            self._add()

    def next(self, turn: int) -> Pod | None:
        """The pod whose turn it is; None while there is none."""
        return self.ready[turn % len(self.ready)] if self.ready else None

    @property
    def alive(self) -> int:
        """Pods that cost: those that start, serve or leave."""
        return len(self.ready) + len(self._starting) + len(self.leaving)

    def scale(self, metrics: Floats) -> None:
        """What the autoscaler does in its turn; metrics: (triggers,)."""
        self.wanted = int(self._scaler.sync(np.array([float(self.wanted)]), metrics[:, None])[0])

    def step(self, seconds: float) -> None:
        """Every second: pods start, become ready, leave, end."""
        now_s = self._env.now
        self.pod_s += self.alive * seconds
        for _ in range(sum(at_s <= now_s for at_s in self._starting)):
            self._add()
        self._starting = [at_s for at_s in self._starting if at_s > now_s]
        missing = self.wanted - len(self.ready) - len(self._starting) - self.lost
        self._starting += [now_s + self._fleet.start_s(self._station)] * max(0, missing)
        for _ in range(max(0, -missing)):
            if self._starting:
                self._starting.pop()
            elif self.ready:
                pod = self.ready.pop()
                pod.is_leaving = True
                self.leaving.append(pod)
        self.leaving = [pod for pod in self.leaving if not pod.is_idle]

    def lose_zone(self) -> list[Pod]:
        """The pods that were in the first zone."""
        gone = [pod for pod in (*self.ready, *self.leaving) if pod.zone == 0]
        self.lost = sum(not pod.is_leaving for pod in gone)
        self.ready = [pod for pod in self.ready if pod.zone]
        self.leaving = [pod for pod in self.leaving if pod.zone]
        for pod in gone:
            pod.is_lost = True
        return gone

    def _add(self) -> None:
        self.ready.append(Pod(self._env, int(CORES), self._done, self.tally, next(self._zones) % ZONES))


@dataclass(slots=True)
class History:
    """What happened. replicas: (seconds, stations), each second."""

    edits: list[Edit] = field(default_factory=list[Edit])
    replicas: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    pod_s: tuple[float, ...] = ()

    def count(self, outcome: str) -> int:
        return sum(edit.outcome == outcome for edit in self.edits)

    def queued_s(self, since_s: float = 0.0) -> Floats:
        """Queue times of the edits that were done and came after `since_s`."""
        return np.array([edit.queued_s for edit in self.edits if edit.outcome == "done" and edit.arrived_s >= since_s])


class Cluster:
    """All of it. `run` once."""

    def __init__(
        self, rate: Rate, edits: Edits, settings: Settings, fleet: Fleet, *, start_rate: float = 0.0, seed: int = 1
    ) -> None:
        """edits: what arrivals are, in this order; when they are used up nobody comes any more."""
        self.env, self.history = simpy.Environment(), History()
        self._rate, self._edits, self._fleet, self._alone_s = rate, edits, fleet, edits.alone_s
        self._rng = np.random.default_rng(seed)
        need = np.ceil((start_rate or float(rate(np.zeros(1))[0])) * edits.work_s.mean(axis=0) / CORES / 0.6)
        replicas = [int(n) for n in np.clip(need, settings.least, settings.most)]
        self.pools = [Pool(self.env, name, fleet, settings, self._task_done) for name in STATIONS]
        for pool, number in zip(self.pools, replicas, strict=True):
            pool.begin(number)
        self._turn = 0
        self._stranded: list[Batch] = []  # one entry for each task for which there was no pod
        self._scraped = [np.zeros(len(TRIGGERS[name])) for name in STATIONS]
        self._counters = [deque([(0.0, 0.0)], maxlen=round(SMOOTH_S / SCRAPE_S) + 1) for _ in self.pools]

    def run(self, duration_s: float, *, lose_zone_s: float = np.inf, drain_s: float = 0.0) -> History:
        """Edits come for `duration_s`; after that the clock runs on for `drain_s`."""
        self.env.process(self._arrive(duration_s))
        self.env.process(self._keep_house(lose_zone_s))
        self.env.run(duration_s + drain_s)
        self.history.pod_s = tuple(pool.pod_s for pool in self.pools)
        return self.history

    def _arrive(self, duration_s: float) -> Generator[simpy.Event, None, None]:
        numbers = iter(range(len(self._edits)))
        for second in range(int(duration_s)):
            expected = float(self._rate(np.array([second + 0.5]))[0])
            for at_s in second + np.sort(self._rng.random(self._rng.poisson(expected))):
                yield self.env.timeout(max(0.0, at_s - self.env.now))
                number = next(numbers, None)
                if number is None:
                    return
                edit = Edit(number, self._edits.px[number], self.env.now, float(self._alone_s[number].sum()))
                self.history.edits.append(edit)
                self._enter(edit)

    def _enter(self, edit: Edit) -> None:
        """Admission at the orchestrator whose turn it is."""
        self._turn += 1
        pod = self.pools[0].next(self._turn)
        if pod is None or (len(pod.waiting) >= self._fleet.queue and (pod.waiting or not self._fits(pod, edit))):
            edit.outcome = "refused"
            return
        pod.inside.add(edit)
        pod.waiting.append(edit)
        self._admit(pod)

    def _fits(self, pod: Pod, edit: Edit) -> bool:
        is_empty = len(pod.inside) <= len(pod.waiting) + (edit not in pod.inside)
        return is_empty or pod.held_px + edit.px <= self._fleet.budget_px

    def _admit(self, pod: Pod) -> None:
        while pod.waiting and self._fits(pod, pod.waiting[0]):
            edit = pod.waiting.popleft()
            pod.held_px += edit.px
            edit.admitted_s = self.env.now
            self._stage(pod, edit, 0)

    def _stage(self, home: Pod, edit: Edit, station: int) -> None:
        """Begins the edit's work at a station, or ends it."""
        while station < len(STATIONS) and not self._edits.tasks[edit.number, station]:
            station += 1
        if home.is_lost:
            return
        if station == len(STATIONS):
            edit.done_s, edit.outcome = self.env.now, "done"
            home.inside.discard(edit)
            home.held_px -= edit.px
            self._admit(home)
            return
        tasks, at_once = int(self._edits.tasks[edit.number, station]), int(self._edits.at_once[edit.number, station])
        batch = Batch(edit, home, station, float(self._edits.task_s[edit.number, station]), tasks)
        for _ in range(at_once):
            self._send_next(batch)

    def _send_next(self, batch: Batch) -> None:
        batch.left -= 1
        batch.out += 1
        self._send(batch)

    def _send(self, batch: Batch) -> None:
        """One task: to its own orchestrator, or to the Triton pod whose turn it is."""
        pod = batch.home if batch.station == 0 else self.pools[batch.station].next(batch.home.take_turn())
        if pod is None:
            self._stranded.append(batch)
        else:
            pod.submit(batch)

    def _task_done(self, batch: Batch) -> None:
        batch.out -= 1
        if batch.home.is_lost:
            return
        if batch.left:
            self._send_next(batch)
        elif not batch.out:
            self._stage(batch.home, batch.edit, batch.station + 1)

    def _keep_house(self, lose_zone_s: float) -> Generator[simpy.Event, None, None]:
        """Each second: Kubernetes. Prometheus scrapes half a period before the autoscaler asks."""
        while True:
            yield self.env.timeout(1.0)
            now_s = round(self.env.now)
            if now_s == lose_zone_s:
                self._lose_zone()
            if now_s >= lose_zone_s + self._fleet.unnoticed_s:
                for pool in self.pools:
                    pool.lost = 0
            if now_s % SCRAPE_S == SCRAPE_S // 2:
                self._scrape()
            for pool, metrics in zip(self.pools, self._scraped, strict=True):
                if now_s % SYNC_S == 0 and now_s > SCRAPE_S:
                    pool.scale(metrics)
                pool.step(1.0)
            self._send_on()
            self.history.replicas.append(tuple(pool.alive for pool in self.pools))

    def _send_on(self) -> None:
        """What waits for a pod that has gone, or at one that goes: work of no pod, and edits that were not admitted yet."""
        stranded, self._stranded = self._stranded, []
        for batch in stranded:
            self._send(batch)
        for pod in self.pools[0].leaving:
            waiting, pod.waiting = pod.waiting, deque()
            for edit in waiting:
                pod.inside.discard(edit)
                self._enter(edit)

    def _scrape(self) -> None:
        held_px = sum(edit.px for pod in (*self.pools[0].ready, *self.pools[0].leaving) for edit in pod.inside)
        self._scraped[0] = np.array([held_px])
        for i, pool in enumerate(self.pools[1:], 1):
            counters = self._counters[i]
            counters.append((pool.tally.waited_s, pool.tally.busy_s))
            waiting, busy = (np.array(counters[-1]) - counters[0]) / (SCRAPE_S * (len(counters) - 1))
            pending = sum(len(pod.queue) for pod in (*pool.ready, *pool.leaving))
            self._scraped[i] = np.array([pending, waiting, busy], np.float64)

    def _lose_zone(self) -> None:
        for i, pool in enumerate(self.pools):
            for pod in pool.lose_zone():
                for edit in pod.inside:
                    edit.outcome = "cut"
                for batch in (*pod.running.values(), *(batch for batch, _ in pod.queue)) if i else ():
                    self._send(batch)
