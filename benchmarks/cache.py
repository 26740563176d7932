"""What keeping results costs where nothing is known, and gives where much is; in the orchestrator's memory and in Redis.

miss_overhead: what keeping results in memory adds to an edit of a picture that was never seen, over the time of the edit. It
is added where stand-ins make the pixels: the models' own time strays by a tenth from edit to edit, and hides it.
miss_cpu_overhead: the same of processor time. miss_direct: time of an edit by the models with results kept over that with none
kept, less 1. The refining loop: an edit, then one after the other with a stroke more, each of which changes 1 % of the mask;
hit_rate: share of the windows that were known, refine_ratio: time of a stroke's edit over the first one's. killed_*, hanging_*:
Redis is killed, or hangs, when the first tile comes; completes: 1 when the edit ended with the right bytes, ratio: its time
over that with no results kept.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.incremental import Edited, edit, warm_up
from benchmarks.refining import BESIDE, CHANGED_SHARE, FULL, MASKED_SHARE, MODELS, STAGES, WHAT, Scene, scene
from benchmarks.report import Bound, Report, paired_ratio, rounded
from benchmarks.service import orchestrator, triton
from retouch import EditOptions, RetouchClient
from retouch_server.local.triton import LocalTriton
from tests.support.redis import RedisServer, redis_server

ASKED = EditOptions(inpaint=FULL)
BOUNDS = {
    "miss_overhead": Bound(most=0.03),
    "killed_completes": Bound(least=1),
    "hanging_completes": Bound(least=1),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=2048, help="side of the square image, px")
    parser.add_argument("--repeats", type=int, default=7, help="pictures edited with and without a cache; the median counts")
    parser.add_argument("--stand-in-repeats", type=int, default=15, help="the same, with stand-ins for the models")
    parser.add_argument("--strokes", type=int, default=8, help="of the refining loop")


async def measure(options: argparse.Namespace) -> Report:
    figures: dict[str, float] = {}
    async with triton(MODELS) as server:
        kept, plain = await _misses(server, options.size, options.repeats)
        work = scene(options.size, options.strokes, seed=1000)
        figures |= await _refine(server, work, "memory", "")
        with redis_server() as redis:
            figures |= await _refine(server, work, redis.url, "_redis")
        for name, harm in (("killed", RedisServer.kill), ("hanging", RedisServer.pause)):
            with redis_server() as redis:
                figures |= await _harmed(server, scene(options.size, 0, seed=1001), redis, name, harm)
    async with triton(BESIDE, stood_in=STAGES) as server:
        bare_kept, bare = await _misses(server, options.size, options.stand_in_repeats)
    plain_s, plain_cpu_s = (statistics.median(values) for values in (_seconds(plain), _processor_s(plain)))
    figures = {
        "miss_overhead": _added(_seconds(bare_kept), _seconds(bare)) / plain_s,
        "miss_cpu_overhead": _added(_processor_s(bare_kept), _processor_s(bare)) / plain_cpu_s,
        "miss_direct": paired_ratio(_seconds(kept), _seconds(plain)) - 1,
        "plain_s": plain_s,
        "stand_in_s": statistics.median(_seconds(bare)),
        **figures,
    }
    share = f"{MASKED_SHARE:.0%} masked, strokes of {CHANGED_SHARE:.0%} of the mask"
    return Report("cache", rounded(figures), BOUNDS, (f"{options.size}×{options.size} px, {share}", WHAT))


async def _misses(server: LocalTriton, size: int, repeats: int) -> tuple[list[Edited], list[Edited]]:
    """With results kept and with none kept, in turns, and every other time the other one first."""
    kept: list[Edited] = []
    plain: list[Edited] = []
    async with (
        orchestrator(server, result_cache="memory") as keeping,
        orchestrator(server, result_cache="off") as forgetting,
        RetouchClient(keeping.target) as keeping_client,
        RetouchClient(forgetting.target) as forgetting_client,
    ):
        sides = [(keeping_client, kept), (forgetting_client, plain)]
        for client, _ in sides:
            await warm_up(client)
        for number in range(repeats):
            work = scene(size, 0, seed=number)
            for client, outcomes in sides if number % 2 else reversed(sides):
                outcomes.append(await edit(client, work.image, work.masks[0], ASKED))
    assert not any(each.cached for each in kept), "a picture was known"
    return kept, plain


def _seconds(edits: Sequence[Edited]) -> list[float]:
    return [each.seconds for each in edits]


def _processor_s(edits: Sequence[Edited]) -> list[float]:
    return [each.processor_s for each in edits]


def _added(values: Sequence[float], to: Sequence[float]) -> float:
    """The median of the differences within each round."""
    return statistics.median(a - b for a, b in zip(values, to, strict=True))


async def _refine(server: LocalTriton, work: Scene, where: str, suffix: str) -> dict[str, float]:
    """The refining loop."""
    async with orchestrator(server, result_cache=where) as running, RetouchClient(running.target) as client:
        await warm_up(client)
        first, *strokes = [await edit(client, work.image, mask, ASKED) for mask in work.masks]
    windows = sum(each.run + each.cached for each in strokes)
    return {
        f"hit_rate{suffix}": sum(each.cached for each in strokes) / windows,
        f"refine_ratio{suffix}": statistics.median(each.seconds for each in strokes) / first.seconds,
        f"refine_cpu_ratio{suffix}": statistics.median(each.processor_s for each in strokes) / first.processor_s,
        f"stroke_s{suffix}": statistics.median(each.seconds for each in strokes),
    }


async def _harmed(
    server: LocalTriton, work: Scene, redis: RedisServer, name: str, harm: Callable[[RedisServer], None]
) -> dict[str, float]:
    """An edit during which something happens to Redis, beside one that asks no cache."""
    async with orchestrator(server, result_cache="off") as running, RetouchClient(running.target) as client:
        await warm_up(client)
        plain = await edit(client, work.image, work.masks[0], ASKED)
    async with orchestrator(server, result_cache=redis.url) as running, RetouchClient(running.target) as client:
        await warm_up(client)
        harmed = await edit(client, work.image, work.masks[0], ASKED, on_first_tile=lambda: harm(redis))
    return {
        f"{name}_completes": float(np.array_equal(plain.result, harmed.result)),
        f"{name}_ratio": harmed.seconds / plain.seconds,
    }
