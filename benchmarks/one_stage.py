"""One stage of the product run in this process, with a function as its model: what compositing does, without a server."""

import asyncio
import importlib.util
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

from benchmarks.photograph import Pixels
from retouch_server.imaging.mask import Mask
from retouch_server.imaging.rows import Band
from retouch_server.local.repository import default_source
from retouch_server.models.dispatch import Dispatcher
from retouch_server.models.fake import FakeBackend
from retouch_server.models.spec import Kind, ModelSpec
from retouch_server.pipeline.plan import StagePlan
from retouch_server.pipeline.regions import StageMask
from retouch_server.pipeline.request import StageName
from retouch_server.pipeline.stages.channel import RowChannel
from retouch_server.pipeline.stages.context import StageContext
from retouch_server.pipeline.stages.job import Fill, Job
from retouch_server.pipeline.stages.tiled import TiledStage
from retouch_server.telemetry.metrics import Metrics
from retouch_server.tiling import TileGrid

SPEC = ModelSpec("fill", Kind.INPAINT, "classical", window_px=512, halo_px=96, receptive_field_px=64, is_deterministic=True)

Model = Callable[[Pixels, Pixels], Pixels]
"""(image (h, w, 3), mask (h, w)) → the image with what is masked filled."""
MakeJob = Callable[[ModelSpec, StageMask], Job]


async def filled(image: Pixels, mask: Pixels, model: Model, job: MakeJob = Fill) -> Pixels:
    """The image (h, w, 3) after an inpainting stage whose windows `model` answers."""
    backend = FakeBackend({SPEC.name: (SPEC, lambda inputs: {"result": model(inputs["image"], inputs["mask"][:, :, 0])})})
    height, width, channels = image.shape
    stage_mask = StageMask(Mask.from_array(mask))
    grid = TileGrid(height, width, SPEC.window_px, SPEC.halo_px, SPEC.blend_px)
    to_run = frozenset(tile.index for row in grid for tile in row.tiles if stage_mask.any(tile.reach))
    plan = StagePlan(StageName.INPAINT, SPEC, grid, to_run, stage_mask, "a benchmark")
    source, sink = RowChannel(2), RowChannel(height)
    with ThreadPoolExecutor(1) as executor:
        context = StageContext(Dispatcher(backend), executor, Metrics(), tiles_in_flight=1)
        async with asyncio.TaskGroup() as group:
            group.create_task(TiledStage(plan, job(SPEC, stage_mask), channels, context).run(source, sink))
            await source.put(Band(0, image))
            await source.close()
    result = image.copy()
    async for band in sink:
        result[band.rows.slice] = band.pixels
    return result


def product_model(model: str, module: str) -> ModuleType:
    """`<model>/1/<module>.py` of the model repository, imported as Triton's stub would."""
    folder = default_source() / model / "1"
    spec = importlib.util.spec_from_file_location(f"{model}_{module}", folder / f"{module}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder}/{module}.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # dataclasses look their module up
    spec.loader.exec_module(loaded)
    return loaded
