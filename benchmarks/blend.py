"""How fast windows become an image on one core: the product's canvas beside OpenCV's MultiBandBlender and Gaussian windows.

Windows of 512 px that share 64 px, as a model would give them: no two agree where they overlap. In turns, in this process, on
one core: the product's strips and canvas, whose rows are handed on as they become final; cv2.detail.MultiBandBlender, each
window's core as its mask; the sum of windows under a Gaussian over the whole image and of their weights beside it (float32,
OpenCV), one over the other; the same with weights from two one-dimensional sums; and each core copied to its place, the bound.
Time is the process's, so that other work on the machine counts less. *_error_levels: the largest difference from the image
where the windows are cut from it and not changed.
"""

import argparse
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.photograph import WHAT, Pixels, enlarged
from benchmarks.report import Bound, Report, paired_ratio, rounded
from retouch_server.imaging.canvas import Canvas, Strip
from retouch_server.imaging.rows import Band
from retouch_server.tiling import AxisTile, Tile, TileGrid

WINDOW_PX, OVERLAP_PX = 512, 64
_AT = np.arange(WINDOW_PX) - (WINDOW_PX - 1) / 2
BELL = np.exp(-0.5 * np.square(_AT / (WINDOW_PX / 8))).clip(1e-3).astype(np.float32)
"""Along one axis: sigma an eighth of the window, nowhere 0, as MONAI and nnU-Net have it."""
BANDS = 5
"""MultiBandBlender's default."""
DISTURBED_LEVELS = 8
BOUNDS = {"vs_multiband": Bound(least=8.0), "vs_gaussian": Bound(least=3.0)}

Windows = list[Pixels]
Sew = Callable[[TileGrid, Windows], Pixels | Iterable[Band]]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--windows", type=int, default=9, help="per side; 9 are 4096 px")
    parser.add_argument("--repeats", type=int, default=5, help="rounds; the median counts")


async def measure(options: argparse.Namespace) -> Report:
    side = WINDOW_PX + (options.windows - 1) * (WINDOW_PX - OVERLAP_PX)
    image = enlarged(side, side)
    grid = TileGrid(side, side, WINDOW_PX, OVERLAP_PX // 2, OVERLAP_PX // 2)
    equal = [image[t.row.window.slice, t.column.window.slice].copy() for row in grid for t in row.tiles]
    random = np.random.default_rng(4)
    differing = [cv2.add(window, random.uniform(-1, 1, 4) * DISTURBED_LEVELS) for window in equal]
    ways: dict[str, tuple[Sew, Windows]] = {
        "ours": (ours, differing),
        "ours_agreeing": (ours, equal),
        "multiband": (multiband, differing),
        "gaussian": (gaussian, differing),
        "separable": (separable, differing),
        "copy": (copied, differing),
    }
    cores, threads = os.sched_getaffinity(0), cv2.getNumThreads()
    os.sched_setaffinity(0, {min(cores)})
    cv2.setNumThreads(1)
    cv2.ocl.setUseOpenCL(False)
    try:
        errors = {name: _error(sew(grid, equal), image) for name, (sew, _) in ways.items() if name != "ours_agreeing"}
        seconds = {name: list[float]() for name in ways}
        for _ in range(options.repeats):
            for name, (sew, windows) in ways.items():
                began = time.process_time()
                result = sew(grid, windows)
                if not isinstance(result, np.ndarray):
                    deque(result, maxlen=0)
                seconds[name].append(time.process_time() - began)
    finally:
        os.sched_setaffinity(0, cores)
        cv2.setNumThreads(threads)
    figures = {
        f"vs_{name}": paired_ratio(seconds[name], seconds["ours"]) for name in ("multiband", "gaussian", "separable", "copy")
    }
    figures |= {f"{name}_mp_per_s": side * side / 1e6 / median(each) for name, each in seconds.items()}
    figures |= {f"{name}_error_levels": float(error) for name, error in errors.items()}
    notes = (f"{side}×{side} px, {len(grid)} windows, one core, median of {options.repeats}", WHAT)
    return Report("blend", rounded(figures), BOUNDS | {"ours_error_levels": Bound(most=0.0)}, notes)


def ours(grid: TileGrid, windows: Windows) -> Iterator[Band]:
    """Strips and canvas as a stage uses them."""
    canvas, rows = Canvas(1), list(grid)
    for number, row in enumerate(rows):
        strip = Strip(grid, row, 1, 3, [tile.index for tile in row.tiles], None)
        for tile in row.tiles:
            strip.paste(tile, windows[tile.index])
        following = rows[number + 1].row.extent.start if number + 1 < len(rows) else None
        yield from canvas.add(strip, following)


def multiband(grid: TileGrid, windows: Windows) -> Pixels:
    blender = cv2.detail.MultiBandBlender(0, BANDS)
    blender.prepare((0, 0, grid.width, grid.height))
    for tile in _tiles(grid):
        mask = np.zeros((tile.window.height, tile.window.width), np.uint8)
        inside = tile.row.core.shifted(-tile.window.y).slice, tile.column.core.shifted(-tile.window.x).slice
        mask[inside] = 255
        blender.feed(windows[tile.index].astype(np.int16), mask, (tile.window.x, tile.window.y))
    result, _ = blender.blend(None, None)
    return np.clip(result, 0, 255).astype(np.uint8)


def gaussian(grid: TileGrid, windows: Windows) -> Pixels:
    share = cv2.merge([BELL[:, None] * BELL] * 3)
    total, weights = (np.zeros((grid.height, grid.width, 3), np.float32) for _ in range(2))
    for tile in _tiles(grid):
        place = tile.row.window.slice, tile.column.window.slice
        for whole, part in ((total, cv2.multiply(windows[tile.index], share, dtype=cv2.CV_32F)), (weights, share)):
            cv2.add(whole[place], part, dst=whole[place])
    return cv2.divide(total, weights, dtype=cv2.CV_8U)


def separable(grid: TileGrid, windows: Windows) -> Pixels:
    share = cv2.merge([BELL[:, None] * BELL] * 3)
    total = np.zeros((grid.height, grid.width, 3), np.float32)
    for tile in _tiles(grid):
        place = total[tile.row.window.slice, tile.column.window.slice]
        cv2.add(place, cv2.multiply(windows[tile.index], share, dtype=cv2.CV_32F), dst=place)
    lines = total.reshape(grid.height, -1)
    lines *= (1 / _sums(grid.rows, grid.height))[:, None]
    lines *= np.repeat(1 / _sums(grid.columns, grid.width), 3)
    return cv2.convertScaleAbs(total)


def _sums(tiles: Sequence[AxisTile], length: int) -> NDArray[np.float32]:
    weights = np.zeros(length, np.float32)
    for tile in tiles:
        weights[tile.window.slice] += BELL
    return weights


def _tiles(grid: TileGrid) -> Iterator[Tile]:
    return (tile for row in grid for tile in row.tiles)


def copied(grid: TileGrid, windows: Windows) -> Pixels:
    out = np.empty((grid.height, grid.width, 3), np.uint8)
    for tile in _tiles(grid):
        inside = tile.row.core.shifted(-tile.window.y).slice, tile.column.core.shifted(-tile.window.x).slice
        out[tile.row.core.slice, tile.column.core.slice] = windows[tile.index][inside]
    return out


def _error(result: Pixels | Iterable[Band], image: Pixels) -> int:
    pixels = result if isinstance(result, np.ndarray) else np.concatenate([band.pixels for band in result])
    return int(cv2.absdiff(pixels, image).max())
