"""Who asks for what, and when. This is assumed, not measured: put your own traffic here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.capacity.times import Measured, ModelTimes

Floats = NDArray[np.float64]
Rate = Callable[[Floats], Floats]
"""Seconds since the start → edits a second then."""

STATIONS = ("orchestrator", "restore", "upscale")
"""What an edit passes, in this order: its orchestrator, then a pool of Triton servers for each family of models."""
IN_FLIGHT = 4
"""Windows of one stage of one edit at the models at once (RETOUCH_TILES_IN_FLIGHT)."""
SLICE_S = 0.05
"""Edits take turns on their orchestrator's cores by as much work at a time: about a band of rows."""

ROUTES = {"pass": 0.15, "inpaint": 0.35, "text": 0.20, "text, x2": 0.05, "x2": 0.20, "x4": 0.05}
"""What edits need. `pass`: a mask that turns out to hold nothing to do."""
MEDIAN_MP, SIGMA = 0.4, 0.8
"""Most pictures: log-normal."""
TAIL_SHARE, TAIL_FROM_MP, TAIL_EXPONENT, LARGEST_MP = 0.04, 2.0, 1.3, 100.0
"""Some are large: a Pareto tail, cut at the largest."""
HOLE_SHARE, TOUCHED_SHARE = 0.03, 0.15
"""Of a picture that is masked, and of its windows that the mask touches (at least one)."""
UPSCALED_MP = {2: 4.0, 4: 1.0}
"""Nobody enlarges what is larger already: x4 becomes x2 above its limit, and x2 no enlargement."""


@dataclass(frozen=True, slots=True)
class Edits:
    """Edits, one per row. px: (n,) input pixels. tasks, task_s: (n, stations), windows (slices at the orchestrator) and
    seconds on one core for each. at_once: (n, stations), how many of them may be out at once.
    """

    px: Floats
    tasks: Floats
    task_s: Floats
    at_once: Floats

    @property
    def work_s(self) -> Floats:
        """(n, stations): seconds on one core."""
        return self.tasks * self.task_s

    @property
    def alone_s(self) -> Floats:
        """(n, stations): time that an edit takes there when nobody else does: rounds of `at_once` tasks."""
        return np.ceil(self.tasks / np.maximum(self.at_once, 1)) * self.task_s

    def __len__(self) -> int:
        return len(self.px)


def sample(measured: Measured, count: int, rng: np.random.Generator) -> Edits:
    """So many edits, drawn from the mix."""
    body = MEDIAN_MP * np.exp(SIGMA * rng.standard_normal(count))
    floor = (TAIL_FROM_MP / LARGEST_MP) ** TAIL_EXPONENT
    tail = TAIL_FROM_MP * (1 - rng.random(count) * (1 - floor)) ** (-1 / TAIL_EXPONENT)
    mp = np.clip(np.where(rng.random(count) < TAIL_SHARE, tail, body), 0.05, LARGEST_MP)
    names = list(ROUTES)
    route = rng.choice(len(names), count, p=list(ROUTES.values()))
    asked = np.array([4 if "x4" in name else 2 if "x2" in name else 1 for name in names])[route]
    scale = np.where((asked == 4) & (mp > UPSCALED_MP[4]), 2, asked)
    scale = np.where((scale == 2) & (mp > UPSCALED_MP[2]), 1, scale)
    has_text = np.array(["text" in name for name in names])[route]
    is_filled = np.array([name == "inpaint" for name in names])[route]
    is_judged = has_text | is_filled | np.array([name == "pass" for name in names])[route]
    return _work(measured, mp, scale, (is_judged, has_text, is_filled))


def _work(measured: Measured, mp: Floats, scale: NDArray[np.int64], flags: tuple[NDArray[np.bool_], ...]) -> Edits:
    """What edits of that size cost, from the measured table."""
    models, (is_judged, has_text, is_filled) = measured.models, flags
    text = models["text_removal"]
    fill = models.get("inpaint_patch") or models["inpaint_classical"]  # as the policy that is built in prefers
    proxy = np.minimum(1.0, mp * 1e6 / models["text_detect"].window_px ** 2)
    looks_s = proxy * (models["text_detect"].window_s + models["precheck"].window_s)
    fills, texts = (_touched(mp, model) for model in (fill, text))
    # A pixel is in several windows, which share halos: holes are filled as often.
    holes = HOLE_SHARE * _windows(mp, fill) * np.minimum(1.0, mp * 1e6 / fill.window_px**2)
    fill_s = fills * fill.window_s + holes * fill.hole_s
    restore_s = is_judged * looks_s + is_filled * fill_s + has_text * (texts * text.window_s + looks_s)
    restore_tasks = is_judged + is_filled * fills + has_text * (texts + 1.0)
    given_back_mp = (is_filled * fills + has_text * texts) * (text.window_px**2 / 1e6)
    upscale_s, upscale_tasks = np.zeros_like(mp), np.zeros_like(mp)
    for factor in UPSCALED_MP:
        model = models[f"upscale_conservative_x{factor}"]
        windows = np.where(scale == factor, _windows(mp, model), 0.0)
        upscale_s += windows * model.window_s
        upscale_tasks += windows
        given_back_mp += windows * (model.window_px * factor) ** 2 / 1e6
    times = measured.orchestrator
    own_s = times.edit_s + times.rows_mp_s * mp * (1 + scale**2) + times.windows_mp_s * given_back_mp
    work_s = np.stack([own_s, restore_s, upscale_s], axis=1)
    tasks = np.stack([np.ceil(own_s / SLICE_S), restore_tasks, upscale_tasks], axis=1)
    at_once = np.minimum(tasks, [1, IN_FLIGHT, IN_FLIGHT])
    return Edits(mp * 1e6, tasks, work_s / np.maximum(tasks, 1), at_once)


def _windows(mp: Floats, model: ModelTimes) -> Floats:
    """Windows of a square picture: those of the product's grid (a test compares)."""
    side, step = np.sqrt(mp * 1e6), model.window_px - 2 * model.halo_px
    return np.where(side <= model.window_px, 1.0, np.ceil((side - model.window_px) / step) + 1) ** 2


def _touched(mp: Floats, model: ModelTimes) -> Floats:
    return np.maximum(1.0, np.round(TOUCHED_SHARE * _windows(mp, model)))


@dataclass(frozen=True, slots=True)
class Classes:
    """The mix in few rows, whose edits are much alike. share: (k,) of all edits; px: (k,); work_s, alone_s: (k, stations),
    seconds on one core, and the least time that it takes there."""

    share: Floats
    px: Floats
    work_s: Floats
    alone_s: Floats

    @property
    def mean_work_s(self) -> Floats:
        """(stations,): seconds on one core of a mean edit."""
        return self.share @ self.work_s


def classes(measured: Measured, seed: int = 1, count: int = 100_000) -> Classes:
    """Many edits, by which stations they need, and those in groups of ever fewer and larger ones."""
    edits = sample(measured, count, np.random.default_rng(seed))
    needs = (edits.work_s[:, 1] > 0) * 2 + (edits.work_s[:, 2] > 0)
    order = np.lexsort((edits.work_s.sum(axis=1), needs))
    groups: list[NDArray[np.intp]] = []
    for need in np.unique(needs):
        members = order[needs[order] == need]
        groups += np.split(members, [round(len(members) * share) for share in GROUPS])
    work_s, alone_s = edits.work_s, edits.alone_s

    def means(values: Floats) -> Floats:
        return np.array([values[group].mean(axis=0) for group in groups])

    return Classes(np.array([len(group) for group in groups]) / count, means(edits.px), means(work_s), means(alone_s))


DAY_S = 86_400.0
BURSTS, BURST, BURST_S = 30, 0.4, 180.0
"""How many a day, by how much more, and how long on average."""
CROWD_AT_S = 7 * 3600.0
GROUPS = (0.5, 0.85, 0.98)
"""Where the groups of edits end that need the same stations: the few large ones need a class of their own."""


@dataclass(frozen=True)
class Day:
    """A day that has `most` edits a second at its busiest: quiet at 4:00, busy at 16:00, with bursts of some minutes (a Poisson
    process modulates the rate), and at 7:00 a crowd that comes within a minute, trebles the load and stays for a quarter of
    an hour.
    """

    most: float
    seed: int = 1

    def __call__(self, seconds: Floats) -> Floats:
        return self.most * np.interp(seconds, self._seconds, self._shape)

    @cached_property
    def _seconds(self) -> Floats:
        return np.arange(0.0, DAY_S + 1, 5.0)

    @cached_property
    def _shape(self) -> Floats:
        rng, seconds = np.random.default_rng(self.seed), self._seconds
        shape = 0.6 - 0.4 * np.cos(2 * np.pi * (seconds / DAY_S - 4 / 24))
        count = rng.poisson(BURSTS)
        for begin_s, length_s in zip(rng.uniform(0, DAY_S, count), rng.exponential(BURST_S, count), strict=True):
            shape = shape * (1 + BURST * ((seconds >= begin_s) & (seconds < begin_s + length_s)))
        since_s = seconds - CROWD_AT_S
        shape = shape * (1 + 2 * np.clip(np.minimum(since_s / 60, (960 - since_s) / 60), 0, 1))
        return shape / shape.max()


@dataclass(frozen=True, slots=True)
class Step:
    """`before` edits a second, and from `at_s` on `after`."""

    before: float
    after: float
    at_s: float

    def __call__(self, seconds: Floats) -> Floats:
        return np.where(seconds < self.at_s, self.before, self.after)


@dataclass(frozen=True, slots=True)
class Later:
    """A rate from `since_s` on."""

    rate: Rate
    since_s: float

    def __call__(self, seconds: Floats) -> Floats:
        return self.rate(seconds + self.since_s)
