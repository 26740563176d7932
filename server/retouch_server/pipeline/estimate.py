"""How long an edit should take, from what was measured while serving."""

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import numpy as np

from retouch_server.errors import ModelFault, ModelUnavailable
from retouch_server.models.backend import Array, Call, Output
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.dispatch import Dispatcher
from retouch_server.models.spec import Kind, ModelSpec
from retouch_server.pipeline.guide import unguided
from retouch_server.pipeline.plan import Plan
from retouch_server.pipeline.request import StageName

log = logging.getLogger(__name__)

UNMEASURED_SECONDS_PER_PX = 2e-6
"""For a model that has never run here; about the slowest that ships. The first run replaces it."""
WEIGHT = 0.3
"""Of a new measurement in the moving average."""


class Estimator:
    """Seconds of model time per window pixel, for each model: an exponential moving average over stages that ran."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds_per_px: dict[str, float] = {}
        self._clock = clock
        self._ends_s: dict[object, float] = {}  # when each edit that runs should have had its model time

    def record(self, model: str, pixels: int, seconds: float) -> None:
        """A stage that ran `model` over windows of `pixels` px in all took `seconds`."""
        if pixels <= 0 or seconds <= 0:
            return
        measured = seconds / pixels
        known = self._seconds_per_px.get(model)
        self._seconds_per_px[model] = measured if known is None else known + WEIGHT * (measured - known)

    def stages(self, plan: Plan) -> dict[StageName, float]:
        """Seconds for each stage that runs."""
        return {
            stage.name: stage.run_px * self._seconds_per_px.get(stage.spec.name, UNMEASURED_SECONDS_PER_PX)
            for stage in plan.stages
        }

    @contextmanager
    def running(self, seconds: float) -> Generator[None]:
        """Inside, an edit with an estimate of `seconds` shares the models with the others."""
        edit = object()
        self._ends_s[edit] = self._clock() + seconds
        try:
            yield
        finally:
            del self._ends_s[edit]

    def wait(self, seconds: float) -> float:
        """Seconds that edits which run now will take from one of `seconds`: each has an equal share while both run."""
        now_s = self._clock()
        return sum(min(seconds, max(0.0, end_s - now_s)) for end_s in self._ends_s.values())


MEASURED_AT_ONCE = 2
"""Windows at once in the self-measurement: as many as the shipped models have instances."""


async def measure(estimator: Estimator, catalogue: Catalogue, dispatcher: Dispatcher) -> None:
    """Runs each tile model on two windows at once. A model that fails stays unmeasured."""
    for spec in catalogue.specs:
        if spec.kind not in (Kind.TEXT_REMOVAL, Kind.INPAINT, Kind.UPSCALE) or not spec.is_ready:
            continue
        call = _window(spec)
        try:
            began_s = time.monotonic()
            await asyncio.gather(*(_run(dispatcher, call) for _ in range(MEASURED_AT_ONCE)))
        except (ModelUnavailable, ModelFault) as error:
            log.warning("the self-measurement of %s failed: %s", spec.name, error)
            continue
        estimator.record(spec.name, MEASURED_AT_ONCE * spec.window_px**2, time.monotonic() - began_s)


def _window(spec: ModelSpec) -> Call:
    """A window of smooth noise; for models that take a mask, a hole of a ninth of it."""
    side = spec.window_px
    coarse = np.random.default_rng(0).integers(0, 256, (side // 8 + 1, side // 8 + 1, 3), np.uint8)
    image = coarse.repeat(8, axis=0).repeat(8, axis=1)[:side, :side]
    inputs: dict[str, Array] = {"image": image}
    if spec.kind != Kind.UPSCALE:
        mask = np.zeros((side, side, 1), np.uint8)
        mask[side // 3 : 2 * side // 3, side // 3 : 2 * side // 3] = 255
        inputs |= {"mask": mask, **unguided(spec, side, side)}
    return Call(spec.name, inputs, {"result": Output((side * spec.scale, side * spec.scale, 3), np.uint8)})


async def _run(dispatcher: Dispatcher, call: Call) -> None:
    async with dispatcher.infer(call):
        pass
