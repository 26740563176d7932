"""A stage of the product in this process: its own windows, blending and correction of tone; only the model runs here.

What the model gave for each window is kept, so that it can be sewn in other ways too, and may be disturbed as models that
invent disturb it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from prometheus_client import CollectorRegistry

from benchmarks.photograph import Pixels
from retouch_server.geometry import Rect, ceil_div
from retouch_server.imaging.rows import Band
from retouch_server.models.backend import Array, Call
from retouch_server.models.dispatch import Dispatcher
from retouch_server.models.spec import Kind, ModelSpec
from retouch_server.pipeline.edit import job_of
from retouch_server.pipeline.plan import StagePlan
from retouch_server.pipeline.reference import KnownRows
from retouch_server.pipeline.regions import StageMask
from retouch_server.pipeline.request import StageName
from retouch_server.pipeline.stages.channel import RowChannel
from retouch_server.pipeline.stages.context import StageContext, StageReport
from retouch_server.pipeline.stages.job import Job, Prepared, View
from retouch_server.pipeline.stages.tiled import TiledStage
from retouch_server.telemetry.metrics import Metrics
from retouch_server.tiling import TileGrid

Function = Callable[[Mapping[str, Array]], Mapping[str, Array]]
Disturb = Callable[[Rect, Pixels], Pixels]
"""(window, what the model gave for it) → what it is made to give."""

STAGES = {Kind.UPSCALE: StageName.UPSCALE, Kind.INPAINT: StageName.INPAINT, Kind.TEXT_REMOVAL: StageName.TEXT_REMOVAL}


@dataclass
class Outcome:
    """What a stage made, its report, and what the model gave for each window."""

    plan: StagePlan
    windows: dict[Rect, Pixels] = field(default_factory=dict[Rect, Pixels])
    pixels: Pixels = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))
    report: StageReport | None = None


def plan_of(spec: ModelSpec, height: int, width: int, mask: StageMask | None, *, is_whole: bool = False) -> StagePlan:
    """The plan of a stage for an image of that size; is_whole: in one window, however large."""
    if is_whole:
        side = ceil_div(max(height, width, spec.window_px), spec.align_px) * spec.align_px
        spec = replace(spec, window_px=side)
    grid = TileGrid(height, width, spec.window_px, spec.halo_px, spec.blend_px, spec.align_px)
    to_run = frozenset(tile.index for row in grid for tile in row.tiles if mask is None or mask.any(tile.reach))
    return StagePlan(STAGES[spec.kind], spec, grid, to_run, mask, "benchmark")


async def run_stage(plan: StagePlan, image: Pixels, model: Function, disturb: Disturb | None = None) -> Outcome:
    """Runs the stage on `image`, (height, width, 3)."""
    outcome = Outcome(plan)
    with ThreadPoolExecutor(1) as executor:
        backend = _Backend(model, disturb, outcome)
        context = StageContext(Dispatcher(backend), executor, Metrics(CollectorRegistry()), tiles_in_flight=1)
        stage = TiledStage(plan, _Witness(job_of(plan), backend), image.shape[2], context)
        source, sink = RowChannel(1), RowChannel(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(_feed(image, source))
            group.create_task(stage.run(source, sink))
            bands = [band.pixels async for band in sink]
    outcome.pixels = np.concatenate(bands)
    outcome.report = stage.report
    return outcome


async def _feed(image: Pixels, source: RowChannel) -> None:
    await source.put(Band(0, image))
    await source.close()


@dataclass(frozen=True, slots=True)
class _Witness:
    """The product's job; tells the backend which call is for which window."""

    job: Job
    backend: "_Backend"

    @property
    def spec(self) -> ModelSpec:
        return self.job.spec

    def view(self, source: Pixels, window: Rect, known: KnownRows | None = None) -> View:
        view = self.job.view(source, window, known)
        self.backend.rects[id(view)] = window
        return view

    def prepare(self, view: View) -> Prepared:
        prepared, window = self.job.prepare(view), self.backend.rects.pop(id(view))
        if prepared.call is not None:
            self.backend.rects[id(prepared.call)] = window
        return prepared


class _Backend:
    """Runs the model in this process, keeps what it gave, and disturbs it."""

    def __init__(self, model: Function, disturb: Disturb | None, outcome: Outcome) -> None:
        self._model, self._disturb, self._outcome = model, disturb, outcome
        self.rects: dict[int, Rect] = {}
        """id of a view or a call on its way → its window."""

    async def specs(self) -> list[ModelSpec]:
        return [self._outcome.plan.spec]

    @asynccontextmanager
    async def infer(self, call: Call, *, turn: int = 0) -> AsyncGenerator[Mapping[str, Array]]:
        outputs, window = dict(self._model(call.inputs)), self.rects.pop(id(call), None)
        if window is not None:
            scale = self._outcome.plan.spec.scale
            if self._disturb is not None:
                outputs["result"] = self._disturb(window, outputs["result"])
            self._outcome.windows[window] = outputs["result"][: window.height * scale, : window.width * scale]
        yield outputs

    async def close(self) -> None:
        """Nothing to give back."""
