"""How well windows are sewn: SSIM and PSNR against the same model on the whole image in one piece.

For each learned model of the repository, on development photographs: (a) windows pasted side by side, (b) linearly feathered,
(c) the product's own stage. Then the same with what the model gave for each window disturbed by a gain of up to ±4 %, an offset
of up to ±6 levels and a gradient of up to ±4 levels across it. SSIM (scikit-image) is that of luma. wins: photographs on which
ours has the highest SSIM of the three, disturbed, with every model. Models that fill do so under drawn strokes.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import structural_similarity

from benchmarks.photograph import Pixels
from benchmarks.report import Bound, Report
from benchmarks.service import ROOT
from benchmarks.stage import STAGES, Function, Outcome, plan_of, run_stage
from retouch_server.geometry import Rect, Span
from retouch_server.imaging.blend import Joint, composite, steps
from retouch_server.imaging.mask import Mask
from retouch_server.imaging.seam import SeamMeter
from retouch_server.models.backend import Array
from retouch_server.models.spec import Kind, ModelSpec
from retouch_server.pipeline.plan import StagePlan
from retouch_server.pipeline.regions import StageMask
from retouch_server.tiling import AxisTile
from tests.models.onnx_models import NAMES, SPECS, onnx_model

FOLDERS = [ROOT.parent / "shared/data/photos" / name for name in ("dev", "highres")]
"""Development photographs: not part of the product."""
SHIPPED = ROOT / "benchmarks/data"
BOUNDS = {"min_ssim": Bound(least=0.999), "max_seam_disturbed": Bound(most=1.05)}
WAYS = ("pasted", "feathered", "ours")
GAIN, OFFSET, SLOPE = 0.04, 6.0, 4.0
WORST = 3
PANEL_PX = 320


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folders", type=Path, nargs="+", default=FOLDERS, help="where photographs are")
    parser.add_argument("--photographs", type=int, default=24, help="how many at most")
    parser.add_argument(
        "--size", type=int, default=800, help="side of the largest crop, px; windows overlap as little as they may"
    )
    parser.add_argument("--models", nargs="+", default=learned(), help="which")
    parser.add_argument("--out", type=Path, default=ROOT / "out/seams", help="where the pictures of the worst go")
    parser.add_argument("--workers", type=int, default=2, help="processes")


def learned() -> list[str]:
    """The models of the repository that are networks with windows."""
    return [name for name in NAMES if SPECS[name].kind in STAGES]


@dataclass(frozen=True, slots=True)
class Case:
    """One photograph with one model. By way: of the undisturbed and the disturbed windows."""

    model: str
    photograph: str
    ssim: dict[str, float]
    ssim_disturbed: dict[str, float]
    mse: dict[str, float]
    mse_disturbed: dict[str, float]
    seam_disturbed: dict[str, float]
    widened: int
    picture: Pixels


async def measure(options: argparse.Namespace) -> Report:
    notes: list[str] = []
    paths = [path for folder in options.folders for path in photographs(folder)][: options.photographs]
    if not paths:
        notes.append(
            f"NO development photographs in {', '.join(map(str, options.folders))}: the one that ships stands for them"
        )
        paths = photographs(SHIPPED)
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as processes:
        jobs = [loop.run_in_executor(processes, case, name, path, options.size) for name in options.models for path in paths]
        for number, job in enumerate(asyncio.as_completed(jobs), 1):
            done = await job
            print(f"{number} of {len(jobs)}: {done.model}, {done.photograph}", file=sys.stderr, flush=True)
        cases = [job.result() for job in jobs]
    worst = sorted(cases, key=lambda each: each.ssim_disturbed["ours"])[:WORST]
    options.out.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(worst, 1):
        Image.fromarray(each.picture).save(options.out / f"worst{number}_{each.model}_{each.photograph}.png")
    lost = {each.photograph for each in cases if max(each.ssim_disturbed, key=each.ssim_disturbed.__getitem__) != "ours"}
    figures = {
        "min_ssim": min(each.ssim["ours"] for each in cases),
        "max_seam_disturbed": max(max(each.seam_disturbed["ours"], each.seam_disturbed["done"]) for each in cases),
        "wins": len(paths) - len(lost),
        "photographs": len(paths),
        "min_ssim_disturbed": min(each.ssim_disturbed["ours"] for each in cases),
    }
    for name in options.models:
        figures |= _summary(name, [each for each in cases if each.model == name])
    notes += [f"{len(paths)} photographs", f"pictures of the worst {WORST} in {options.out}"]
    notes.append(f"{sum(each.widened for each in cases)} borders widened where windows were disturbed")
    figures = {name: float(f"{figure:.5g}") for name, figure in figures.items()}
    return Report("seams", figures, BOUNDS | {"wins": Bound(least=len(paths))}, notes)


def photographs(folder: Path) -> list[Path]:
    """By name; none where there is no such folder."""
    return sorted(path for path in folder.glob("*") if path.suffix in (".webp", ".jpg", ".png"))


def _summary(name: str, cases: Sequence[Case]) -> dict[str, float]:
    """Means over photographs, of each way to sew."""
    figures: dict[str, float] = {}
    for way in WAYS:
        figures[f"{name}.{way}_ssim"] = fmean(each.ssim[way] for each in cases)
        figures[f"{name}.{way}_psnr_db"] = _psnr_db(fmean(each.mse[way] for each in cases))
        figures[f"{name}.{way}_ssim_disturbed"] = fmean(each.ssim_disturbed[way] for each in cases)
        figures[f"{name}.{way}_psnr_db_disturbed"] = _psnr_db(fmean(each.mse_disturbed[way] for each in cases))
        figures[f"{name}.{way}_max_seam_disturbed"] = max(each.seam_disturbed[way] for each in cases)
    return figures


def case(name: str, path: Path, size_px: int) -> Case:
    """One photograph, one model."""
    cv2.setNumThreads(1)
    return asyncio.run(_case(name, path, size_px))


async def _case(name: str, path: Path, size_px: int) -> Case:
    spec, model = SPECS[name], remembering(onnx_model(name))
    image = crop(path, spec, size_px)
    height, width = image.shape[:2]
    drawn = None if spec.kind is Kind.UPSCALE else drawn_mask(height, width, path.name)
    mask = None if drawn is None else StageMask(Mask.from_array(drawn))
    truth = (await run_stage(plan_of(spec, height, width, mask, is_whole=True), image, model)).pixels
    plan = plan_of(spec, height, width, mask)
    ways: dict[str, Pixels] = {}
    ssim: list[dict[str, float]] = []
    mse: list[dict[str, float]] = []
    seams: dict[str, float] = {}
    widened = 0
    for disturb in (None, partial(disturbed, path.name)):
        outcome = await run_stage(plan, image, model, disturb)
        assert outcome.report is not None
        widened = outcome.report.borders_widened
        windows = {window: _composited(pixels, image, window, drawn) for window, pixels in outcome.windows.items()}
        ways = {way: sewn(outcome, image, windows, way) for way in WAYS[:2]} | {"ours": outcome.pixels}
        ssim.append({way: _ssim(pixels, truth) for way, pixels in ways.items()})
        mse.append(
            {way: float(np.square(cv2.subtract(pixels, truth, dtype=cv2.CV_32F)).mean()) for way, pixels in ways.items()}
        )
        seams = {way: seam_score(plan, truth, pixels) for way, pixels in ways.items()} | {"done": outcome.report.seam.score}
    return Case(name, path.stem, ssim[0], ssim[1], mse[0], mse[1], seams, widened, _picture(truth, ways))


def remembering(model: Function) -> Function:
    """`model`, which is asked once for the same inputs: windows are the same whether or not they are then disturbed."""
    known: dict[tuple[bytes, ...], Mapping[str, Array]] = {}

    def answer(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        key = tuple(sha256(np.ascontiguousarray(array)).digest() for array in inputs.values())
        if key not in known:
            known[key] = model(inputs)
        return known[key]

    return answer


def crop(path: Path, spec: ModelSpec, size_px: int) -> Pixels:
    """The middle of a photograph: as many windows as fit into size_px when they overlap as little as they may."""
    step = spec.window_px - 2 * spec.halo_px
    side = max(2, (size_px - 2 * spec.halo_px) // step) * step + 2 * spec.halo_px
    with Image.open(path) as photo:
        pixels = np.asarray(photo.convert("RGB"))
    y, x = (max(0, (length - side) // 2) for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[y : y + side, x : x + side])


def drawn_mask(height: int, width: int, seed: str) -> NDArray[np.uint8]:
    """Strokes across the picture, 8 to 20 px thick, soft at their edges by a pixel or two."""
    random = _random(seed)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(8):
        points = (random.uniform(0, 1, (4, 2)) * (width, height)).astype(np.int32)
        cv2.polylines(mask, [points], isClosed=False, color=255, thickness=int(random.integers(8, 21)), lineType=cv2.LINE_AA)
    return mask


def disturbed(seed: str, window: Rect, pixels: Pixels) -> Pixels:
    """As a model that invents gives a window: with a gain, an offset for each channel and a slow gradient of its own."""
    random = _random(f"{seed} {window}")
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in pixels.shape[:2])
    down, right = random.uniform(-SLOPE, SLOPE, 2) / 2
    field = random.uniform(-OFFSET, OFFSET) + down * y[:, None] + right * x[None, :]
    gain = 1 + random.uniform(-GAIN, GAIN)
    return np.clip(np.rint(pixels * np.float32(gain) + field[:, :, None].astype(np.float32)), 0, 255).astype(np.uint8)


def sewn(outcome: Outcome, image: Pixels, windows: dict[Rect, Pixels], way: str) -> Pixels:
    """The windows pasted side by side, or linearly feathered over the zones that the product blends where sides agree."""
    grid, scale = outcome.plan.grid, outcome.plan.spec.scale
    total = np.zeros((grid.height * scale, grid.width * scale, 3), np.float32)
    for tile in (tile for row in grid for tile in row.tiles):
        place = tile.core if way == "pasted" else tile.reach
        pixels = windows.get(tile.window)
        if pixels is None:
            pixels = image[tile.window.rows.slice, tile.window.columns.slice]  # did not run; only at scale 1
        inside = tuple(
            span.shifted(-start).scaled(scale).slice
            for span, start in ((place.rows, tile.window.y), (place.columns, tile.window.x))
        )
        weights = [_weights(tile.row, grid.height, scale), _weights(tile.column, grid.width, scale)]
        share = np.float32(1) if way == "pasted" else (weights[0][:, None] * weights[1])[:, :, None]
        total[place.rows.scaled(scale).slice, place.columns.scaled(scale).slice] += pixels[inside] * share
    return np.rint(total).astype(np.uint8)


def _weights(tile: AxisTile, length: int, scale: int) -> NDArray[np.float32]:
    """Of a tile's reach along an axis, rising and falling linearly across the zones that it shares."""
    reach = tile.reach.scaled(scale)
    weights = np.ones(reach.length, np.float32)
    for margin, is_first in ((tile.core.start - tile.reach.start, True), (tile.reach.stop - tile.core.stop, False)):
        zone = 2 * margin * scale
        if zone:
            ramp = (np.arange(zone, dtype=np.float32) + 0.5) / zone
            if is_first:
                weights[:zone] = ramp
            else:
                weights[-zone:] = ramp[::-1]
    return weights


def seam_score(plan: StagePlan, truth: Pixels, pixels: Pixels) -> float:
    """The product's seam score of any way to sew, with the truth's own steps in place of the windows'."""
    meter, scale = SeamMeter(), plan.spec.scale
    for row in plan.grid:
        for tile in row.tiles:
            for border, along, axis in ((tile.core.y, tile.core.columns, 0), (tile.core.x, tile.core.rows, 1)):
                if border and tile.index in plan.to_run:
                    zone, along_px = slice((border - 8) * scale, (border + 8) * scale), along.scaled(scale).slice
                    place = (zone, along_px) if axis == 0 else (along_px, zone)
                    joint = Joint(steps(pixels[place], axis), steps(truth[place], axis), is_widened=False)
                    meter.add(joint, _touched(plan, border, along, axis))
    return meter.score


def _touched(plan: StagePlan, border: int, along: Span, axis: int) -> NDArray[np.bool_] | None:
    if plan.mask is None:
        return None
    across = Span(border, border).grow(2)
    rect = Rect.from_spans(across, along) if axis == 0 else Rect.from_spans(along, across)
    return np.repeat(plan.mask.window(rect).any(axis=axis), plan.spec.scale)


def _composited(pixels: Pixels, image: Pixels, window: Rect, mask: NDArray[np.uint8] | None) -> Pixels:
    place = window.rows.slice, window.columns.slice
    return pixels if mask is None else composite(image[place], pixels, mask[place])


def _ssim(pixels: Pixels, truth: Pixels) -> float:
    one, other = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float32) for each in (pixels, truth))
    return float(structural_similarity(one, other, data_range=255))


def _psnr_db(mse: float) -> float:
    """99 where nothing differs."""
    return min(99.0, float(10 * np.log10(255**2 / max(mse, 1e-9))))


def _picture(truth: Pixels, ways: dict[str, Pixels]) -> Pixels:
    """Where ours errs most: the truth and each way at 1:1; below, eightfold around gray, how each differs from the truth."""
    error = cv2.boxFilter(cv2.absdiff(ways["ours"], truth).max(axis=2).astype(np.float32), -1, (15, 15))
    y, x = np.unravel_index(int(error.argmax()), error.shape)
    top, left = (min(max(0, int(at) - PANEL_PX // 2), max(0, n - PANEL_PX)) for at, n in zip((y, x), truth.shape, strict=False))
    place = slice(top, top + PANEL_PX), slice(left, left + PANEL_PX)
    above = [truth[place], *(ways[way][place] for way in WAYS)]
    below = [np.clip(128 + 8 * (each.astype(np.int16) - truth[place]), 0, 255).astype(np.uint8) for each in above]
    return np.vstack([np.hstack(above), np.hstack(below)])


def _random(seed: str) -> np.random.Generator:
    return np.random.default_rng(crc32(seed.encode()))
