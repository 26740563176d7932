"""`python -m benchmarks.capacity.measure`: makes `measured.json` from a real Triton and a real orchestrator on this machine.

What is taken is processor time of the processes concerned, one call or edit at a time, so that other work on the machine
changes little; start-up times are those of the clock. Three minutes.
"""

import asyncio
import os
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import product
from typing import NamedTuple

import numpy as np

from benchmarks.capacity.times import Check, Measured, ModelTimes, OrchestratorTimes
from benchmarks.demo.scene import make_scene
from benchmarks.photograph import Pixels, enlarged
from benchmarks.processor import processor_s
from benchmarks.report import rounded
from benchmarks.service import Orchestrator, orchestrator, triton
from retouch import RetouchClient
from retouch.options import OptionFields
from retouch_server.geometry import Rect
from retouch_server.local.repository import default_source
from retouch_server.local.triton import LocalTriton
from retouch_server.models.backend import Array, Call, Output
from retouch_server.models.spec import Kind, ModelSpec
from retouch_server.models.triton import TritonServer
from retouch_server.pipeline.findings import JUDGED_REGIONS
from retouch_server.pipeline.guide import unguided
from retouch_server.pipeline.wish import UNSAID
from retouch_server.telemetry.metrics import Metrics
from retouch_server.tiling import TileGrid

HOW = "processor seconds of Triton's and the orchestrator's processes, one call or edit at a time; starts by the clock"
HOLES = (0.02, 0.25)
LEAST_S = 2.0
"""Calls are repeated until they have taken as much processor time together."""


def call_of(spec: ModelSpec, image: Pixels, mask: Array) -> Call:
    """The call that the orchestrator would make for that window; image (h, w, 3), mask (h, w)."""
    height, width = mask.shape
    inputs: dict[str, Array] = {"image": image}
    output = {"result": Output((height * spec.scale, width * spec.scale, 3), np.uint8)}
    if spec.kind == Kind.PRECHECK:
        output = {"scores": Output((2,), np.float32)}
    elif spec.kind == Kind.TEXT_DETECT:
        output = {"result": Output((height, width, 1), np.uint8)}
    if spec.kind not in (Kind.UPSCALE, Kind.TEXT_DETECT):
        inputs["mask"] = mask[:, :, None]
    if spec.kind in (Kind.INPAINT, Kind.TEXT_REMOVAL):
        inputs |= {**unguided(spec, height, width), **UNSAID.inputs(spec, Rect(0, 0, height, width))}
    return Call(spec.name, inputs, output)


def windows_of(spec: ModelSpec) -> list[tuple[Pixels, Array]]:
    """What the model is given: a photograph with square holes; lines of text, under the mask that a person would draw."""
    scene, side = make_scene(), spec.window_px
    if spec.kind == Kind.TEXT_REMOVAL:
        cuts = [np.s_[y : y + side, x : x + side] for y, x in ((0, 64), (554, 1000))]
        return [(scene.before[cut], scene.mask[cut]) for cut in cuts]
    masks: list[Array] = []
    for share in HOLES if spec.kind == Kind.INPAINT else HOLES[:1]:
        hole_px = round(side * share**0.5)
        mask = np.zeros((side, side), np.uint8)
        mask[(side - hole_px) // 2 :, (side - hole_px) // 2 :][:hole_px, :hole_px] = 255
        masks.append(mask)
    return [(scene.before[:side, 64 : 64 + side], mask) for mask in masks]


async def call_s(backend: TritonServer, pid: int, call: Call) -> float:
    """Processor seconds of Triton for one call."""
    async with backend.infer(call):  # warms up
        began_s, count = processor_s(pid), 0
    while (taken_s := processor_s(pid) - began_s) < LEAST_S or count < 5:
        async with backend.infer(call):
            count += 1
    return taken_s / count


async def model_times(server: LocalTriton) -> dict[str, ModelTimes]:
    """Every model that is served, on its windows."""
    backend, times = TritonServer(server.grpc_url, metrics=Metrics()), dict[str, ModelTimes]()
    assert server.pid is not None
    try:
        for spec in await backend.specs():
            seconds = [await call_s(backend, server.pid, call_of(spec, *window)) for window in windows_of(spec)]
            hole_s = 0.0
            if spec.kind == Kind.INPAINT:
                hole_s = max(0.0, seconds[1] - seconds[0]) / (HOLES[1] - HOLES[0])
                window_s = max(0.0, seconds[0] - hole_s * HOLES[0])
            else:
                window_s = float(np.mean(seconds))
            figures = rounded({"window_s": window_s, "hole_s": hole_s})
            times[spec.name] = ModelTimes(spec.kind.value, spec.method, spec.window_px, spec.halo_px, spec.scale, **figures)
            print(spec.name, times[spec.name], flush=True)
    finally:
        await backend.close()
    return times


class Spent(NamedTuple):
    """Processor seconds of either, seconds by the clock, and windows run."""

    orchestrator_s: float
    triton_s: float
    wall_s: float
    windows: int


class Edits:
    """Edits through the orchestrator, one at a time."""

    def __init__(self, client: RetouchClient, running: Orchestrator, server: LocalTriton) -> None:
        assert server.pid is not None
        self._client, self._pids = client, (running.pid, server.pid)

    async def seconds(self, size: int, repeats: int = 3, *, mask: Array | None = None, scale: int = 1) -> Spent:
        """What an edit of a size × size picture takes, mean of `repeats`."""
        image = enlarged(size, size)
        fields: OptionFields = {"scale": scale}
        if mask is not None:
            fields |= {"text_removal": "never", "inpaint": "classical"}
        call = None
        began_s, before = time.perf_counter(), [processor_s(pid) for pid in self._pids]
        for _ in range(repeats):
            call = self._client.edit(image, mask, **fields)
            await call.result()
        assert call is not None
        spent = [(processor_s(pid) - b) / repeats for pid, b in zip(self._pids, before, strict=True)]
        windows = sum(stage.tiles_run for stage in call.report.stages)
        return Spent(*spent, (time.perf_counter() - began_s) / repeats, windows)


async def orchestrator_times(edits: Edits, upscaler: ModelTimes) -> OrchestratorTimes:
    """By differences: a small picture that passes, a large one, and one of which every window comes back from a model."""
    await edits.seconds(256)
    small_s = (await edits.seconds(256, 40)).orchestrator_s
    large_s = (await edits.seconds(4096)).orchestrator_s
    enlarged_s, _, _, windows = await edits.seconds(1024, 6, scale=upscaler.scale)
    rows_mp_s = (large_s - small_s) / (2 * (4096**2 - 256**2) / 1e6)
    edit_s = max(0.0, small_s - rows_mp_s * 2 * 256**2 / 1e6)
    rows_s = edit_s + rows_mp_s * 1024**2 * (1 + upscaler.scale**2) / 1e6
    windows_mp = windows * (upscaler.window_px * upscaler.scale) ** 2 / 1e6
    figures = {"edit_s": edit_s, "rows_mp_s": rows_mp_s, "windows_mp_s": max(0.0, enlarged_s - rows_s) / windows_mp}
    return OrchestratorTimes(**rounded(figures))


async def checks(edits: Edits, models: Mapping[str, ModelTimes], times: OrchestratorTimes) -> tuple[Check, ...]:
    """Whole edits against the sum of their parts."""
    fill, detect, judge = (models[name] for name in ("inpaint_classical", "text_detect", "precheck"))
    found: list[Check] = []

    def check(what: str, spent: Spent, table_s: float) -> None:
        figures = rounded({"measured_s": spent.orchestrator_s + spent.triton_s, "table_s": table_s, "wall_s": spent.wall_s})
        found.append(Check(what, **figures))
        print(found[-1], flush=True)

    def rows_s(size: int, scale: int) -> float:
        return times.edit_s + times.rows_mp_s * size**2 * (1 + scale**2) / 1e6

    for size, scale in ((1024, 2), (512, 4)):
        spent, model = await edits.seconds(size, scale=scale), models[f"upscale_conservative_x{scale}"]
        window_s = model.window_s + times.windows_mp_s * (model.window_px * scale) ** 2 / 1e6
        check(f"x{scale} of {size}² px", spent, rows_s(size, scale) + spent.windows * window_s)
    size, mask = 1536, np.zeros((1536, 1536), np.uint8)
    for y, x in product(range(100, size, 400), repeat=2):
        mask[y : y + 80, x : x + 80] = 255
    grid = TileGrid(size, size, fill.window_px, fill.halo_px, 0)
    holes = [float((mask[tile.row.window.slice, tile.column.window.slice] > 0).mean()) for row in grid for tile in row.tiles]
    spent = await edits.seconds(size, 2, mask=mask)
    window_s = fill.window_s + times.windows_mp_s * fill.window_px**2 / 1e6
    regions_s = min(JUDGED_REGIONS, len(range(100, size, 400)) ** 2) * judge.window_s
    table_s = rows_s(size, 1) + spent.windows * window_s + sum(holes) * fill.hole_s + detect.window_s + regions_s
    check("16 holes of 80² px in 1536² px", spent, table_s)
    return tuple(found)


async def starts() -> dict[str, float]:
    """Seconds until a Triton with a pool's models serves, and an orchestrator before one that does; medians of three."""
    names = [path.name for path in default_source().iterdir() if (path / "config.pbtxt").exists()]
    pools = {"upscale": [name for name in names if name.startswith("upscale")]}
    pools["restore"] = [name for name in names if name not in pools["upscale"] and "diffusion" not in name]
    taken: dict[str, list[float]] = {"restore": [], "upscale": [], "orchestrator": []}
    for _ in range(3):
        for pool, models in pools.items():
            began_s = time.perf_counter()
            async with triton(models):
                taken[pool].append(time.perf_counter() - began_s)
    async with triton() as server:
        for _ in range(3):
            began_s = time.perf_counter()
            async with orchestrator(server):
                taken["orchestrator"].append(time.perf_counter() - began_s)
    return rounded({pool: float(np.median(seconds)) for pool, seconds in taken.items()})


async def main() -> None:
    async with triton() as server:
        models = await model_times(server)
        async with orchestrator(server) as running, RetouchClient(running.target) as client:
            edits = Edits(client, running, server)
            times = await orchestrator_times(edits, models["upscale_conservative_x2"])
            print(times, flush=True)
            checked = await checks(edits, models, times)
    seconds = await starts()
    print(seconds, flush=True)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, CPython {platform.python_version()}"
    Measured(HOW, machine, datetime.now(UTC).date().isoformat(), models, times, seconds, checked).dump()


if __name__ == "__main__":
    asyncio.run(main())
