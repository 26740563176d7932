"""Legacy thumbnails: what enlarging them through Retouch is worth against bicubic interpolation, which a plain pipeline uses.

Photographs are shrunk by antialiased bicubic, packed as JPEG (quality 60 to 80, from one to the next), and enlarged again: by
bicubic, and by edits of criticality `standard` and `low`, for which the policy chooses the upscaler. Means over photographs
against what they were before; gains are over bicubic, `share` says for how many photographs they are gains (of LPIPS, less is
better). fell_back: the share of windows in which the upscaler strayed. The pipelines this started from report +3.4 dB and -0.18
LPIPS for theirs.
"""

import argparse
import io
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks import perceptual
from benchmarks.perceptual import distances
from benchmarks.photograph import PATH, Pixels
from benchmarks.report import Report, rounded
from benchmarks.service import service
from retouch import Criticality, RetouchClient
from retouch.profiling import Measures

QUALITIES = (60, 65, 70, 75, 80)
PLAIN = "bicubic"
ASKED: tuple[Criticality, ...] = ("standard", "low")


@dataclass(frozen=True, slots=True)
class Attempt:
    """An enlargement, and which part of its windows fell back."""

    picture: Pixels
    fell_back: float = 0.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help="photographs; none: the one that ships")
    parser.add_argument("--scales", type=int, nargs="+", default=(2, 4), choices=(2, 4), help="how much they were shrunk")
    parser.add_argument("--clean", action="store_true", help="no JPEG between: what its blocks cost")
    parser.add_argument("--pictures", type=Path, help="a folder for crops: bicubic, standard, low, and the photograph, at 1:1")
    perceptual.add_options(parser)


async def measure(options: argparse.Namespace) -> Report:
    paths = sorted(path for path in options.folder.iterdir() if path.is_file()) if options.folder else [PATH]
    models = [f"upscale_{method}_x{scale}" for scale in options.scales for method in ("conservative", "creative")]
    measures, figures = Measures(), dict[str, float]()
    async with service(models) as client:
        for scale in options.scales:
            rows: list[dict[str, float]] = []
            for number, path in enumerate(paths):
                truth = _truth(path, scale)
                thumbnail = thumbnail_of(truth, scale, None if options.clean else QUALITIES[number % len(QUALITIES)])
                attempts = await _attempts(client, thumbnail, scale)
                rows.append(_row(attempts, truth, measures, options))
                print(path.stem, scale, {key: round(value, 3) for key, value in rows[-1].items()}, file=sys.stderr, flush=True)
                if options.pictures:
                    _show(attempts, truth, options.pictures / f"{path.stem}_x{scale}.png")
            figures |= {f"x{scale}_{name}": value for name, value in _means(rows).items()}
    notes = [f"{len(paths)} photographs", "clean" if options.clean else f"JPEG of quality {QUALITIES[0]} to {QUALITIES[-1]}"]
    return Report("legacy", rounded(figures), notes=notes if options.lpips else [*notes, perceptual.NOT_MEASURED])


def thumbnail_of(truth: Pixels, scale: int, quality: int | None) -> Pixels:
    """(h, w, 3) shrunk `scale` times, and as it comes out of a JPEG of that quality, colour at half the resolution."""
    height, width = truth.shape[:2]
    shrunk = Image.fromarray(truth).resize((width // scale, height // scale), Image.Resampling.BICUBIC)
    if quality is None:
        return np.asarray(shrunk)
    packed = io.BytesIO()
    shrunk.save(packed, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(packed) as image:
        return np.asarray(image.convert("RGB"))


def _truth(path: Path, scale: int) -> Pixels:
    """The photograph, cut to sides that the scale divides."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    height, width = (side // scale * scale for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width])


async def _attempts(client: RetouchClient, thumbnail: Pixels, scale: int) -> dict[str, Attempt]:
    height, width = thumbnail.shape[:2]
    size = (width * scale, height * scale)
    plain = np.asarray(Image.fromarray(thumbnail).resize(size, Image.Resampling.BICUBIC))
    attempts = {PLAIN: Attempt(plain)}
    for criticality in ASKED:
        call = client.edit(thumbnail, scale=scale, criticality=criticality)
        picture, (stage,) = await call.result(), call.report.stages
        attempts[criticality] = Attempt(picture, stage.tiles_fell_back / (stage.tiles_run + stage.tiles_cached))
    return attempts


def _row(attempts: Mapping[str, Attempt], truth: Pixels, measures: Measures, options: argparse.Namespace) -> dict[str, float]:
    """Of one photograph."""
    pictures = [attempt.picture for attempt in attempts.values()]
    found = {
        "psnr_db": [measures.psnr_db(picture, truth) for picture in pictures],
        "ssim": [measures.ssim(picture, truth) for picture in pictures],
        "lpips": distances(truth, pictures, options),
    }
    row = {f"{name}_fell_back": attempts[name].fell_back for name in ASKED}
    for measure, (plain, *others) in ((name, values) for name, values in found.items() if values):
        row[f"{PLAIN}_{measure}"] = plain
        row |= {f"{name}_{measure}_gain": value - plain for name, value in zip(ASKED, others, strict=True)}
    return row


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Over photographs; of gains also how many are in the right direction: distance is better where it is less."""
    figures = {name: statistics.fmean(row[name] for row in rows) for name in rows[0]}
    for name in [name for name in figures if name.endswith("_gain")]:
        sign = -1 if "lpips" in name else 1
        figures[name.replace("_gain", "_share")] = statistics.fmean(sign * row[name] > 0 for row in rows)
    return figures


def _show(attempts: Mapping[str, Attempt], truth: Pixels, path: Path) -> None:
    """The liveliest square of 320 px."""
    path.parent.mkdir(parents=True, exist_ok=True)
    gray = cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY)
    side = min(320, *gray.shape)
    energy = cv2.boxFilter(np.square(cv2.Laplacian(gray, cv2.CV_32F)), -1, (side, side))
    half = side // 2
    inner = energy[half : energy.shape[0] - half + 1, half : energy.shape[1] - half + 1]
    y, x = np.unravel_index(int(inner.argmax()), inner.shape)
    pictures = [*(attempt.picture for attempt in attempts.values()), truth]
    Image.fromarray(np.hstack([picture[y : y + side, x : x + side] for picture in pictures])).save(path)
