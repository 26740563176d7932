"""How long an edit should take, from what was measured while serving."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np

from retouch_server.errors import ModelFault, ModelUnavailable
from retouch_server.geometry import Rect
from retouch_server.models.backend import Array, Call, Output
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.dispatch import Dispatcher
from retouch_server.models.spec import Kind, ModelSpec
from retouch_server.pipeline.calibration import Calibration
from retouch_server.pipeline.cost import AT_ONCE, Cost, Shares, Work
from retouch_server.pipeline.forecast import Leg, seconds_until_done
from retouch_server.pipeline.guide import unguided
from retouch_server.pipeline.plan import Plan, StagePlan
from retouch_server.pipeline.request import EditRequest, StageName
from retouch_server.pipeline.stages.context import StageReport
from retouch_server.pipeline.wish import UNSAID

log = logging.getLogger(__name__)

_LOOK = Work(1.0)

SPREAD_S = 0.06
"""Seconds for a window that is filled from a fill at proxy resolution, before any was measured."""
UNMEASURED_S = (0.5, 1.0, SPREAD_S)
"""Seconds for a window, and for a window of hole, of a model that never ran here; about the slowest that ships."""
LOOK_S = (0.4, 0.0, 0.0)
"""Seconds for a look at what text is left, before any was measured."""
ROWS_S = (0.02, 0.01, 0.0)
"""Seconds for an edit, and for a megapixel in or out, beside the models; before any was measured."""


LOOKS = "looks"
"""What `Shares` calls the models that look at proxies: where edits queue before they are accepted, and at their end."""
_ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an edit should take. `stages`: those that run; `legs`: machine time of each, in order, then of a last look at what
    text is left, and of taking rows in and giving them out; `wait_s`: what edits that run already will take from it;
    `in_flight`: how many these are; `total_s`: from `accepted` to `done`, as such estimates fared; `error`: median of
    |estimated / actual - 1| over the last ones, 0 before any.
    """

    stages: tuple[StageName, ...]
    legs: tuple[Leg, ...]
    wait_s: float
    in_flight: int
    total_s: float
    error: float

    @property
    def stages_s(self) -> dict[StageName, float]:
        """Machine time of each stage that runs."""
        return {name: leg.seconds for name, leg in zip(self.stages, self.legs, strict=False)}

    @property
    def own_s(self) -> float:
        """Machine time of the edit, were it alone. Stages overlap in time but share the models' processors."""
        return sum(leg.seconds for leg in self.legs)


class Run:
    """An edit under way. `is_typical` is set to False where nothing can be learnt from it: some of its work was not done
    (results were kept from before), or was done twice. `reports`: of its stages, in order, which tell how far it is."""

    def __init__(self, estimate: Estimate, clock: Callable[[], float]) -> None:
        self.is_typical = True
        self.machine_s = 0.0
        self.reports: Sequence[StageReport] = ()
        self._estimate = estimate
        self._clock = clock
        self._began_s = clock()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return self._clock() - self._began_s

    def legs(self) -> list[Leg]:
        """What is left of it. An edit that is overdue and has no window under way waits for its client: nothing."""
        if self.seconds > self._estimate.own_s and not any(report.tiles_under_way for report in self.reports):
            return []
        return self._left(lambda report: report.tiles_run + report.tiles_cached)

    def behind(self) -> float:
        """The share of its machine time that is still to be begun, less that of the time it was told. Overdue by all of that
        time is as late as can be, or an edit whose client was slow would go before everybody until it is done."""
        told_s, own_s = self._estimate.total_s, self._estimate.own_s
        if told_s <= 0 or own_s <= 0:
            return 0.0
        left = self._left(lambda report: report.tiles_run + report.tiles_cached + report.tiles_at_model)
        return sum(leg.seconds for leg in left) / own_s - max(-1.0, 1 - self.seconds / told_s)

    def _left(self, tiles_done: Callable[[StageReport], int]) -> list[Leg]:
        left = list(self._estimate.legs)
        for number, report in enumerate(self.reports):
            done = min(1.0, tiles_done(report) / max(1, len(report.plan.to_run)))
            left[number] = left[number].after(done * left[number].seconds)
        return left


class Estimator:
    """Learns what models cost, and what the time between `accepted` and `done` then comes to.

    tiles_in_flight: windows that a stage keeps at its model, at most.
    """

    def __init__(self, tiles_in_flight: int = 4, clock: Callable[[], float] = time.monotonic) -> None:
        self.shares = Shares(clock)
        self._tiles_in_flight = tiles_in_flight
        self._clock = clock
        self._costs: defaultdict[str, Cost] = defaultdict(lambda: Cost(UNMEASURED_S))
        self._rows = Cost(ROWS_S)
        self._look = Cost(LOOK_S)
        self._calibration = Calibration()
        self._runs: list[Run] = []

    def estimate(self, plan: Plan, request: EditRequest) -> Estimate:
        """The estimate for an edit that starts now."""
        legs = [self._leg(stage) for stage in plan.stages]
        if any(stage.name == StageName.TEXT_REMOVAL for stage in plan.stages):
            legs.append(Leg(LOOKS, self._look.seconds(_LOOK)))
        legs.append(Leg(_ROWS, self._rows.seconds(_rows_of(plan, request))))
        own_s = sum(leg.seconds for leg in legs)
        in_flight = len(self._runs)
        others = [run.legs() for run in self._runs]
        wait_s = max(0.0, seconds_until_done(legs, others, self._tiles_in_flight) - own_s)
        total_s = self._calibration.seconds(own_s, wait_s, in_flight)
        names = tuple(stage.name for stage in plan.stages)
        return Estimate(names, tuple(legs), wait_s, in_flight, total_s, self._calibration.error)

    def _leg(self, stage: StagePlan) -> Leg:
        return Leg(stage.spec.name, self._costs[stage.spec.name].seconds(work_of(stage)), len(stage.to_run))

    def learn(self, model: str, work: Work, seconds: float) -> None:
        """`work` took `model` so many machine seconds."""
        self._costs[model].learn(work, seconds)

    def learn_look(self, seconds: float) -> None:
        """A look at what text is left took so many machine seconds."""
        self._look.learn(_LOOK, seconds)

    def guess(self, model: str, window_s: float, hole_s: float) -> None:
        """What to start from: seconds for a window, and for a window of hole."""
        self._costs[model] = Cost((window_s, hole_s, SPREAD_S))

    @contextmanager
    def running(self, estimate: Estimate, plan: Plan, request: EditRequest) -> Generator[Run]:
        """Inside, an edit shares the models with the others; when it ends well, its estimate is compared with what it took."""
        run = Run(estimate, self._clock)
        self._runs.append(run)
        was_alone = len(self._runs) == 1
        try:
            yield run
        finally:
            self._runs.remove(run)
        if not run.is_typical:
            return
        actual_s = run.seconds
        self._calibration.learn(estimate.own_s, estimate.wait_s, estimate.in_flight, estimate.total_s, actual_s)
        if was_alone and not self._runs:
            self._rows.learn(_rows_of(plan, request), actual_s - run.machine_s)


def work_of(stage: StagePlan) -> Work:
    """In windows of the stage's model."""
    window, proxied = stage.spec.window_px**2, stage.proxied
    if proxied is None:
        return Work(stage.run_px / window, stage.hole.area_px / window, stage.hole.near_px / window, starts=1.0)
    hole, small = stage.hole, proxied.hole
    area_px, near_px = hole.area_px + small.area_px, hole.near_px + small.near_px
    return Work((stage.run_px + proxied.crop_px) / window, area_px / window, near_px / window, len(stage.to_spread), 1.0)


def _rows_of(plan: Plan, request: EditRequest) -> Work:
    return Work(1.0, request.pixels * (1 + plan.scale**2) / 1e6)


HOLES = (0.02, 0.25)
"""Shares of the window that are hole in the self-measurement of models that take a mask."""


async def measure(estimator: Estimator, catalogue: Catalogue, dispatcher: Dispatcher) -> None:
    """Runs each tile model on two windows at once, with a small and a large hole. A model that fails stays unmeasured."""
    for spec in catalogue.specs:
        if spec.kind not in (Kind.TEXT_REMOVAL, Kind.INPAINT, Kind.UPSCALE) or not spec.is_ready:
            continue
        try:
            small_s, *large_s = [
                await _timed(dispatcher, _window(spec, share)) for share in (HOLES if spec.kind != Kind.UPSCALE else (0.0,))
            ]
        except (ModelUnavailable, ModelFault) as error:
            log.warning("the self-measurement of %s failed: %s", spec.name, error)
            continue
        hole_s = max(0.0, large_s[0] - small_s) / (HOLES[1] - HOLES[0]) if large_s else 0.0
        estimator.guess(spec.name, max(1e-6, small_s - hole_s * HOLES[0]), hole_s)


async def _timed(dispatcher: Dispatcher, call: Call) -> float:
    """Seconds for one window, with as many at once as have room."""
    began_s = time.monotonic()
    await asyncio.gather(*(_run(dispatcher, call) for _ in range(AT_ONCE)))
    return (time.monotonic() - began_s) / AT_ONCE


def _window(spec: ModelSpec, hole_share: float) -> Call:
    """A window of smooth noise; for models that take a mask, a square hole of that share in its middle, with text to remove."""
    side = spec.window_px
    coarse = np.random.default_rng(0).integers(0, 256, (side // 8 + 1, side // 8 + 1, 3), np.uint8)
    image = coarse.repeat(8, axis=0).repeat(8, axis=1)[:side, :side]
    inputs: dict[str, Array] = {"image": image}
    if spec.kind != Kind.UPSCALE:
        mask = np.zeros((side, side, 1), np.uint8)
        hole_px = max(1, round(side * hole_share**0.5))
        start = (side - hole_px) // 2
        hole = slice(start, start + hole_px)
        mask[hole, hole] = 255
        if spec.kind == Kind.TEXT_REMOVAL:  # what has none is soon done
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), 12.0), np.uint8)
            for y in range(24, hole_px, 36):
                cv2.putText(image[hole, hole], "Retouch it", (0, y), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 3)
        inputs["image"] = image
        inputs |= {"mask": mask, **unguided(spec, side, side), **UNSAID.inputs(spec, Rect(0, 0, side, side))}
    return Call(spec.name, inputs, {"result": Output((side * spec.scale, side * spec.scale, 3), np.uint8)})


async def _run(dispatcher: Dispatcher, call: Call) -> None:
    async with dispatcher.infer(call):
        pass
