"""Holes larger than a window: ours against shrinking the whole image to one window, filling that, and scaling the fill up.

Both with the same model, through the whole service. On photographs shrunk to size × size px and cut left and right; each with a
box, an ellipse or a blob of 10 to 40 % of it masked. Medians over pictures, inside the hole:
psnr_gain_db: ours less the peer's. lpips_ratio: ours over the peer's, on the hole's bounding box (see --lpips).
gradient_energy_ratio: mean squared gradient in the hole over that in the 64 px around it, and `within`: the share of
pictures that are within 20 % of 1. alike_ratio: the same over what known pixels have where the picture shrunk 8 times is as
lively: how sharp the fill is, whatever it shows. The peer's and the truth's stand beside them.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import perceptual
from benchmarks.perceptual import distances
from benchmarks.photograph import PATH, Pixels
from benchmarks.report import Bound, Report, rounded
from benchmarks.service import service
from retouch import RetouchClient

Bools = NDArray[np.bool_]
BOUNDS = {
    "lpips_ratio": Bound(most=1.0),
    "psnr_gain_db": Bound(least=0.0),
    "gradient_energy_ratio": Bound(least=0.8),
    "alike_ratio": Bound(least=0.8),
}
WINDOW_PX = 512
SHARES = (0.1, 0.2, 0.3, 0.4)
SHAPES = ("box", "ellipse", "blob")
RING_PX = 64
COARSE = 8
SIDES = ("left", "right")


@dataclass(frozen=True, slots=True)
class Fills:
    """A picture, its hole, and what was made of it."""

    name: str
    truth: Pixels
    hole: Bools
    ours: Pixels
    peer: Pixels
    seam_score: float
    seconds: float


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help="photographs, at least 2048 px high; none: the one that ships")
    parser.add_argument("--photographs", type=int, default=6, help="how many of them, two pictures each")
    parser.add_argument("--size", type=int, default=2048, help="side of the pictures, px; the photograph's where it has less")
    parser.add_argument("--inpaint", default="classical", help="the method that fills, for both")
    perceptual.add_options(parser)
    parser.add_argument("--pictures", type=Path, help="a folder for truth with the hole's outline, peer and ours, at 1:1")


async def measure(options: argparse.Namespace) -> Report:
    paths = sorted(path for path in options.folder.iterdir() if path.is_file()) if options.folder else [PATH]
    rows: list[dict[str, float]] = []
    async with service(sorted({"inpaint_classical", f"inpaint_{options.inpaint}"})) as client:  # patch calls classical
        for number, path in enumerate(paths[: options.photographs]):
            for side, name in enumerate(SIDES):
                truth = _cut(path, options.size, side)
                index = len(SIDES) * number + side
                hole = hole_of(truth.shape[0], SHARES[(index + number) % len(SHARES)], SHAPES[index % len(SHAPES)], index)
                fills = await _fill(client, f"{path.stem}_{name}", truth, hole, options.inpaint)
                rows.append(_figures(fills) | _lpips(fills, options))
                print(fills.name, {key: round(value, 3) for key, value in rows[-1].items()}, file=sys.stderr, flush=True)
                if options.pictures:
                    _show(fills, options.pictures)
    return _report(rows, options)


async def _fill(client: RetouchClient, name: str, truth: Pixels, hole: Bools, inpaint: str) -> Fills:
    mask = hole.astype(np.uint8) * np.uint8(255)
    damaged = np.where(hole[:, :, None], np.uint8(255), truth)
    call = client.edit(damaged, mask, inpaint=inpaint, text_removal="never")
    ours = await call.result()
    report = call.report
    small = cv2.resize(damaged, (WINDOW_PX, WINDOW_PX), interpolation=cv2.INTER_AREA)
    small_hole = (cv2.resize(mask, (WINDOW_PX, WINDOW_PX), interpolation=cv2.INTER_AREA) > 0).astype(np.uint8) * np.uint8(255)
    small = await client.edit_image(small, small_hole, inpaint=inpaint, text_removal="never")
    large = cv2.resize(small, truth.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    peer = np.where(hole[:, :, None], np.asarray(large, np.uint8), truth)
    assert np.array_equal(ours[~hole], truth[~hole]), "outside the mask nothing changes"
    return Fills(name, truth, hole, ours, peer, report.seam_score, report.seconds)


def _figures(fills: Fills) -> dict[str, float]:
    """Of one picture."""
    truth, hole = fills.truth, fills.hole
    return {
        "psnr_gain_db": _psnr_db(fills.ours, truth, hole) - _psnr_db(fills.peer, truth, hole),
        "gradient_energy_ratio": ring_ratio(fills.ours, hole),
        "peer_gradient_energy_ratio": ring_ratio(fills.peer, hole),
        "truth_gradient_energy_ratio": ring_ratio(truth, hole),
        "alike_ratio": alike_ratio(fills.ours, hole),
        "peer_alike_ratio": alike_ratio(fills.peer, hole),
        "truth_alike_ratio": alike_ratio(truth, hole),
        "seam_score": fills.seam_score,
        "seconds": fills.seconds,
    }


def _report(rows: Sequence[dict[str, float]], options: argparse.Namespace) -> Report:
    figures = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    for name in ("gradient_energy", "truth_gradient_energy", "alike", "truth_alike"):
        figures[f"{name}_within"] = statistics.fmean(abs(row[f"{name}_ratio"] - 1) <= 0.2 for row in rows)
    figures["psnr_share"] = statistics.fmean(row["psnr_gain_db"] >= 0 for row in rows)
    figures["max_seam_score"] = max(row["seam_score"] for row in rows)
    notes = [f"{len(rows)} pictures of {options.size} px", f"{options.inpaint} for both"]
    if "lpips_ratio" in figures:
        figures["lpips_share"] = statistics.fmean(row["lpips_ratio"] <= 1 for row in rows)
    else:
        notes.append(perceptual.NOT_MEASURED)
    return Report("holes", rounded(figures), {name: BOUNDS[name] for name in BOUNDS if name in figures}, notes)


def _cut(path: Path, size: int, side: int) -> Pixels:
    """The photograph shrunk until its shorter side is `size`, and the square at its left or right (upper or lower) end."""
    with Image.open(path) as image:
        shorter = min(image.size)
        factor = min(1.0, size / shorter)
        shrunk = image.convert("RGB").resize(
            (round(image.width * factor), round(image.height * factor)), Image.Resampling.BOX if factor < 1 else None
        )
    pixels = np.asarray(shrunk, np.uint8)
    length = min(size, *pixels.shape[:2])
    y, x = (side * (extent - length) for extent in pixels.shape[:2])
    return np.ascontiguousarray(pixels[y : y + length, x : x + length])


def hole_of(size: int, share: float, shape: str, seed: int) -> Bools:
    """(size, size): a hole of that share of the picture, somewhere in it."""
    random = np.random.default_rng(seed)
    aspect = float(np.exp(random.uniform(-0.25, 0.25)))
    y, x = np.mgrid[:size, :size].astype(np.float32)
    height = np.sqrt(share * aspect) * size * (1.0 if shape == "box" else np.sqrt(4 / np.pi))
    width = height / aspect
    top, left = (random.uniform(0.2, 0.8) * (size - length) for length in (height, width))
    v, u = (y + 0.5 - top) / height * 2 - 1, (x + 0.5 - left) / width * 2 - 1
    if shape == "box":
        return np.maximum(np.abs(u), np.abs(v)) <= 1
    distance = np.hypot(u, v)
    if shape == "blob":
        waves = cv2.GaussianBlur(random.normal(0, 1, (size, size)).astype(np.float32), (0, 0), size / 14)
        distance = distance - 0.25 * waves / float(waves.std())
        return distance <= np.partition(distance.ravel(), int(share * size**2))[int(share * size**2)]
    return distance <= 1


def ring_ratio(picture: Pixels, hole: Bools) -> float:
    """Mean squared gradient in the hole over that in the RING_PX around it; both without the 2 px at the edge."""
    energy = _energy(picture)
    outside_px = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 3)
    inside_px = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3)
    return float(energy[inside_px > 2].mean() / energy[(outside_px > 2) & (outside_px <= RING_PX)].mean())


def alike_ratio(picture: Pixels, hole: Bools) -> float:
    """Mean squared gradient in the hole over what known pixels have where the picture shrunk COARSE times is as lively."""
    height, width = hole.shape
    small = cv2.resize(picture, (width // COARSE, height // COARSE), interpolation=cv2.INTER_AREA)
    lively = cv2.resize(cv2.GaussianBlur(_energy(small), (0, 0), 1), (width, height), interpolation=cv2.INTER_LINEAR)
    bins, energy = np.rint(2 * np.log2(lively + 1)).astype(np.intp), _energy(picture)
    edge = cv2.morphologyEx(hole.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((9, 9), np.uint8)) > 0
    known, filled = ~hole & ~edge, hole & ~edge
    count = np.bincount(bins[known], minlength=bins.max() + 1)
    mean = np.bincount(bins[known], energy[known], minlength=len(count)) / np.maximum(count, 1)
    filled &= (count > 500)[bins]
    return float(energy[filled].mean() / mean[bins[filled]].mean())


def _energy(picture: Pixels) -> NDArray[np.float32]:
    values = picture.astype(np.float32)
    out = np.zeros(values.shape[:2], np.float32)
    out[:, :-1] += np.square(np.diff(values, axis=1)).mean(axis=2)
    out[:-1] += np.square(np.diff(values, axis=0)).mean(axis=2)
    return out


def _psnr_db(picture: Pixels, truth: Pixels, hole: Bools) -> float:
    error = np.square(picture[hole].astype(np.float32) - truth[hole]).mean()
    return float(10 * np.log10(255**2 / max(float(error), 1e-9)))


def _lpips(fills: Fills, options: argparse.Namespace) -> dict[str, float]:
    """Of both fills, within the hole's bounding box."""
    box = _box(fills.hole)
    found = distances(fills.truth[box], (fills.ours[box], fills.peer[box]), options)
    return {"lpips_ratio": found[0] / found[1], "lpips": found[0], "peer_lpips": found[1]} if found else {}


def _box(hole: Bools, margin: int = 0) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    return tuple(slice(max(0, int(at[0]) - margin), int(at[-1]) + 1 + margin) for at in (rows, columns))  # type: ignore[return-value]


def _show(fills: Fills, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    outlined = fills.truth.copy()
    lines, _ = cv2.findContours(fills.hole.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(outlined, lines, -1, (255, 0, 0), 2)
    box = _box(fills.hole, RING_PX)
    Image.fromarray(np.hstack([picture[box] for picture in (outlined, fills.peer, fills.ours)])).save(
        folder / f"{fills.name}.png"
    )
