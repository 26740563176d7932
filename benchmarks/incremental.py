"""An edit again with a changed mask, and again after its stream broke: what it costs, relative to the first.

delta_ratio: time of the edit with 1 % of the mask changed over that of the first; identical: 1 when its result equals, byte for
byte, that of an orchestrator which has never seen the picture. resume_ratio: an edit that was cut when 70 % of its rows had
come, made again, over the first. *_cpu_ratio: the same of the processor time of all processes and the client, which other work
on the machine disturbs less. Every round is in a fresh orchestrator, in front of the same Triton.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.photograph import Pixels
from benchmarks.processor import processor_s
from benchmarks.refining import CHANGED_SHARE, FULL, MASKED_SHARE, MODELS, WHAT, Scene, scene
from benchmarks.report import Bound, Report, paired_ratio, rounded
from benchmarks.service import orchestrator, triton
from retouch import Done, EditOptions, RetouchClient, TileReady
from retouch_server.local.triton import LocalTriton

BOUNDS = {"delta_ratio": Bound(most=0.15), "identical": Bound(least=1), "resume_ratio": Bound(most=0.4)}
CUT_AT = 0.7


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=4096, help="side of the square image, px")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; the median counts")
    parser.add_argument("--inpaint", default=FULL, help="the method asked for")


@dataclass(frozen=True, slots=True)
class Edited:
    """How an edit went."""

    seconds: float
    processor_s: float
    """Of all processes and the client."""
    result: Pixels
    run: int
    """Windows that went to a model."""
    cached: int


async def measure(options: argparse.Namespace) -> Report:
    rounds: list[tuple[Edited, Edited, Edited]] = []
    asked = EditOptions(inpaint=options.inpaint)
    is_identical = True
    async with triton(MODELS) as server:
        for number in range(options.repeats):
            work = scene(options.size, strokes=1, seed=number)
            first, second = await _refine(server, work, asked)
            again = await _resume(server, work, asked)
            rounds.append((first, second, again))
            if number == 0:
                is_identical = await _is_identical(server, work, asked, second)
            is_identical &= np.array_equal(first.result, again.result)
    firsts = [first.seconds for first, _, _ in rounds]
    firsts_processor = [first.processor_s for first, _, _ in rounds]
    figures = {
        "delta_ratio": paired_ratio([second.seconds for _, second, _ in rounds], firsts),
        "identical": float(is_identical),
        "resume_ratio": paired_ratio([again.seconds for _, _, again in rounds], firsts),
        "delta_cpu_ratio": paired_ratio([second.processor_s for _, second, _ in rounds], firsts_processor),
        "resume_cpu_ratio": paired_ratio([again.processor_s for _, _, again in rounds], firsts_processor),
        "first_s": statistics.median(firsts),
        "delta_s": statistics.median(second.seconds for _, second, _ in rounds),
        "first_windows": rounds[0][0].run,
        "delta_windows": rounds[0][1].run,
        "resume_windows": rounds[0][2].run,
    }
    share = f"{MASKED_SHARE:.0%} masked, {CHANGED_SHARE:.0%} of the mask changed"
    return Report("incremental", rounded(figures), BOUNDS, (f"{options.size}×{options.size} px, {share}", WHAT))


async def _refine(server: LocalTriton, work: Scene, asked: EditOptions) -> tuple[Edited, Edited]:
    """The first edit, and that with the changed mask."""
    async with orchestrator(server, result_cache="memory") as running, RetouchClient(running.target) as client:
        await warm_up(client)
        return await edit(client, work.image, work.masks[0], asked), await edit(client, work.image, work.masks[1], asked)


async def _resume(server: LocalTriton, work: Scene, asked: EditOptions) -> Edited:
    """The same edit again, after one that was cut."""
    async with orchestrator(server, result_cache="memory") as running, RetouchClient(running.target) as client:
        await warm_up(client)
        rows = work.image.shape[0] * CUT_AT
        async with client.edit(work.image, work.masks[0], asked) as call:
            async for event in call:
                if isinstance(event, TileReady) and event.rect.y + event.rect.height >= rows:
                    break
        return await edit(client, work.image, work.masks[0], asked)


async def _is_identical(server: LocalTriton, work: Scene, asked: EditOptions, second: Edited) -> bool:
    """Whether an orchestrator that keeps nothing comes to the same result."""
    async with orchestrator(server) as running, RetouchClient(running.target) as client:
        cold = await edit(client, work.image, work.masks[1], asked)
        return np.array_equal(cold.result, second.result)


async def warm_up(client: RetouchClient) -> None:
    """A small edit of another picture."""
    work = scene(640, strokes=0, seed=99)
    await client.edit_image(work.image, work.masks[0])


async def edit(
    client: RetouchClient,
    image: Pixels,
    mask: Pixels,
    asked: EditOptions,
    on_first_tile: Callable[[], None] = lambda: None,
) -> Edited:
    """One edit, from the call to the whole result."""
    began_s, began_processor_s = time.perf_counter(), processor_s()
    call = client.edit(image, mask, asked)
    done: Done | None = None
    has_tiles = False
    async for event in call:
        if isinstance(event, TileReady) and not has_tiles:
            has_tiles = True
            on_first_tile()
        if isinstance(event, Done):
            done = event
    result = await call.result()
    seconds, spent_s = time.perf_counter() - began_s, processor_s() - began_processor_s
    assert done is not None
    run, cached = sum(stage.tiles_run for stage in done.stages), sum(stage.tiles_cached for stage in done.stages)
    return Edited(seconds, spent_s, result, run, cached)
