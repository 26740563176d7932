"""The precheck in charge: is its routing right, what does it save and cost, and do the estimates hold?

On photographs with holes (smooth, textured) and captions. accuracy: share of the regions whose route is that which they need,
known from how they were made: text removal for captions, inpainting at full resolution where the content of a hole differs by
more than 4 levels from its copy at half the size, else at the proxy's. time_saved: of the inpainting stage's time against an
orchestrator that always fills at full resolution. ssim_lost: mean SSIM of 320 px around each hole, always full resolution less
routed. estimate_error: median of |estimated / actual - 1| over edits of mixed sizes and stages, `accepted` to `done`, the worse
of one at a time and four at a time; *_cold: of the first ones, which nothing was learnt for.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.photograph import Pixels
from benchmarks.regions import WINDOW_PX, Region, Scene, captions, crop, holes, photographs
from benchmarks.report import Bound, Report, rounded
from benchmarks.service import orchestrator, triton
from retouch import Accepted, Done, EditOptions, RetouchClient
from retouch_server.local.triton import LocalTriton

BOUNDS = {
    "time_saved": Bound(least=0.4),
    "ssim_lost": Bound(most=0.005),
    "estimate_error": Bound(most=0.15),
}
AT_FULL = "[precheck]\nfine_texture = 0.0\n"
"""A policy: no texture is coarse enough for a fill at proxy resolution."""
HOLES = 4
SIDES_PX = (480, 1100)


@dataclass(frozen=True, slots=True)
class Filled:
    """Holes as they were filled, and the seconds of the inpainting stage."""

    result: Pixels
    seconds: float


@dataclass(frozen=True, slots=True)
class Timed:
    """What an edit was said to take, and took, from `accepted` to `done`."""

    told_s: float
    took_s: float

    @property
    def error(self) -> float:
        return abs(self.told_s / self.took_s - 1)


@dataclass(frozen=True, slots=True)
class _Task:
    """An edit to make: `image` (h, w, 3), `mask` (h, w)."""

    number: int
    image: Pixels
    mask: Pixels
    scale: int


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help="photographs; none: the one that ships, again and again")
    parser.add_argument("--photographs", type=int, default=18, help="how many pictures with holes, and how many with captions")
    parser.add_argument("--edits", type=int, default=40, help="edits whose estimates count: one at a time, then four")
    parser.add_argument("--warm-up", type=int, default=8, help="edits before these, from which the estimates learn")
    parser.add_argument("--pictures", type=Path, help="a folder for truth, full resolution and routed, at 1:1, of each hole")


async def measure(options: argparse.Namespace) -> Report:
    photos = photographs(options.folder, options.photographs)
    several = [photos[number % len(photos)] for number in range(options.photographs)]
    async with triton() as server:
        policy = server.settings.state_dir.parent / "at_full.toml"
        policy.write_text(AT_FULL)
        async with (
            orchestrator(server) as ours,
            orchestrator(server, policy=policy) as full,
            RetouchClient(ours.target) as routed,
            RetouchClient(full.target) as at_full,
        ):
            figures = await _routing(several, routed, at_full, options.pictures)
        figures |= await _estimates(server, several, options)
    what = f"{len(photos)} photographs" if options.folder else "the shipped photograph"
    return Report("precheck", rounded(figures), BOUNDS, (f"{len(several)} × {HOLES} holes and captions on {what}",))


async def _routing(
    photos: Sequence[Pixels], routed: RetouchClient, at_full: RetouchClient, folder: Path | None
) -> dict[str, float]:
    right: list[bool] = []
    seconds, similar = np.zeros(2), list[tuple[float, float]]()
    to_proxy: list[bool] = []
    for number, photo in enumerate(photos):
        with_text, with_holes = captions(photo, number), holes(photo, HOLES, number)
        right += await _judged(routed, with_text)
        right += await _judged(routed, with_holes)
        routes = await _routes(routed, with_holes)
        to_proxy += [route == "inpaint_proxy" for route in routes]
        both = [await _fill(client, with_holes) for client in ((at_full, routed) if number % 2 else (routed, at_full))]
        full, ours = both if number % 2 else both[::-1]
        seconds += (full.seconds, ours.seconds)
        for region, route in zip(with_holes.regions, routes, strict=True):
            similar.append((_similarity(full.result, photo, region), _similarity(ours.result, photo, region)))
            row = {"route": route, "is_fine": region.is_fine, "full": similar[-1][0], "routed": similar[-1][1]}
            print(number, row, f"{full.seconds:.2f} {ours.seconds:.2f} s", file=sys.stderr, flush=True)
            if folder:
                _show(folder / f"{number}_{region.y}_{region.x}_{route}.png", region, (photo, full.result, ours.result))
    full_ssim, routed_ssim = (statistics.mean(column) for column in zip(*similar, strict=True))
    return {
        "accuracy": statistics.mean(right),
        "time_saved": 1 - seconds[1] / seconds[0],
        "ssim_lost": full_ssim - routed_ssim,
        "ssim_full": full_ssim,
        "at_proxy": statistics.mean(to_proxy),
    }


async def _routes(client: RetouchClient, scene: Scene) -> list[str]:
    """The route of each region of a scene: that of the region found which holds its middle."""
    answer = await client.precheck(scene.image, scene.mask)
    found = answer.findings.regions
    routes: list[str] = []
    for region in scene.regions:
        rows, columns = np.nonzero(region.mask)
        y, x = int(rows[len(rows) // 2]), int(columns[len(columns) // 2])
        routes.append(
            next(
                each.route
                for each in found
                if 0 <= y - each.bounds.y < each.bounds.height and 0 <= x - each.bounds.x < each.bounds.width
            )
        )
    return routes


async def _judged(client: RetouchClient, scene: Scene) -> list[bool]:
    wanted = ["text_removal" if each.is_text else "inpaint" if each.is_fine else "inpaint_proxy" for each in scene.regions]
    routes = await _routes(client, scene)
    for region, route, right in zip(scene.regions, routes, wanted, strict=True):
        if route != right:
            print("wrong", region.y, region.x, route, "instead of", right, file=sys.stderr)
    return [route == right for route, right in zip(routes, wanted, strict=True)]


async def _fill(client: RetouchClient, scene: Scene) -> Filled:
    call = client.edit(scene.image, scene.mask, text_removal="never")
    result = await call.result()
    return Filled(result, next(stage.seconds for stage in call.report.stages if stage.stage == "inpaint"))


def _similarity(result: Pixels, truth: Pixels, region: Region) -> float:
    """SSIM (Wang et al., 2004: Gaussian window, sigma 1.5) around a region."""
    box = _around(region)
    a, b = (picture[box].astype(np.float32) for picture in (result, truth))
    blurred = [cv2.GaussianBlur(values, (11, 11), 1.5) for values in (a, b, a * a, b * b, a * b)]
    mean_a, mean_b, aa, bb, ab = blurred
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    structure = (2 * (ab - mean_a * mean_b) + c2) / (aa - mean_a**2 + bb - mean_b**2 + c2)
    return float(((2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1) * structure).mean())


def _around(region: Region) -> tuple[slice, slice]:
    y, x = (max(0, middle - WINDOW_PX // 2) for middle in (region.y, region.x))
    return slice(y, y + WINDOW_PX), slice(x, x + WINDOW_PX)


def _show(path: Path, region: Region, pictures: Sequence[Pixels]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.hstack([picture[_around(region)] for picture in pictures])).save(path)


async def _estimates(server: LocalTriton, photos: Sequence[Pixels], options: argparse.Namespace) -> dict[str, float]:
    learning: int = options.warm_up
    figures: dict[str, float] = {}
    # Made before: whoever draws a scene between two edits hears late that others are done.
    tasks = [_task(photos[number % len(photos)], number) for number in range(learning + options.edits)]
    for at_once in (1, 4):
        async with orchestrator(server) as running, RetouchClient(running.target) as client:
            timed = await _timed(client, tasks, at_once)
        figures[f"estimate_error_{at_once}"] = statistics.median(each.error for each in timed[learning:])
        figures[f"estimate_error_{at_once}_cold"] = statistics.median(each.error for each in timed[:learning])
        figures[f"estimate_ratio_{at_once}"] = statistics.median(each.told_s / each.took_s for each in timed[learning:])
    return {"estimate_error": max(figures["estimate_error_1"], figures["estimate_error_4"])} | figures


async def _timed(client: RetouchClient, tasks: Sequence[_Task], at_once: int) -> list[Timed]:
    """Edits in the order in which they ended; always `at_once` of them run."""
    waiting, timed = iter(tasks), list[Timed]()

    async def work() -> None:
        for task in waiting:
            timed.append(await _edit(client, task))

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
    return timed


def _task(photo: Pixels, number: int) -> _Task:
    """An edit of a part of the photograph: holes, a caption or both; every third one is enlarged as well."""
    rng = np.random.default_rng(number)
    scale = 2 if number % 3 == 0 else 1
    part = crop(photo, int(rng.integers(*SIDES_PX) / scale**0.5), rng)
    scene = captions(part, number) if number % 2 else holes(part, int(rng.integers(1, HOLES + 1)), number)
    return _Task(number, scene.image, scene.mask, scale)


async def _edit(client: RetouchClient, task: _Task) -> Timed:
    told_s, accepted_s, stages = 0.0, 0.0, dict[str, float]()
    call = client.edit(task.image, task.mask, EditOptions(scale=task.scale))
    async for event in call:
        if isinstance(event, Accepted):
            told_s, accepted_s = event.estimate.total_s, time.perf_counter()
            stages = event.estimate.stages_s
        if isinstance(event, Done):
            timed = Timed(told_s, time.perf_counter() - accepted_s)
            detail = {name: round(seconds, 2) for name, seconds in stages.items()}
            actual = {stage.stage: round(stage.seconds, 2) for stage in event.stages}
            what = f"{task.number} {task.image.shape[:2]} told {timed.told_s:.2f} took {timed.took_s:.2f}"
            print(what, detail, actual, file=sys.stderr)
            return timed
    raise AssertionError("an edit without `done`")
