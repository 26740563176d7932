"""What the whole service adds to a ×2 enlargement: its time over that of a plain ONNX Runtime loop on the same windows.

The loop: one session with ONNX Runtime's defaults, in one process, window after window, each core copied into the result.
Beside it, for comparison, the same with two sessions of one thread each, side by side; and cpu_ratio, the processor time of
all of the service's processes and the client over the first loop's, which other work on the machine disturbs less.
"""

import argparse
import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime

from benchmarks.photograph import WHAT, Pixels, enlarged
from benchmarks.processor import processor_s
from benchmarks.report import Bound, Report, paired_ratio, rounded
from benchmarks.service import ROOT, service
from retouch import Model
from retouch_server.tiling import Tile, TileGrid

MODEL = "upscale_conservative_x2"
SCALE = 2
BOUNDS = {"ratio": Bound(most=1.15)}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=2048, help="side of the square image, px")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; the median counts")


async def measure(options: argparse.Namespace) -> Report:
    image = enlarged(options.size, options.size)
    system_s: list[float] = []
    plain_s: list[float] = []
    pair_s: list[float] = []
    system_cpu_s: list[float] = []
    plain_cpu_s: list[float] = []
    async with service([MODEL]) as client:
        (spec,) = [model for model in await client.models() if model.name == MODEL]
        plain, pair = PlainLoop(spec, image, sessions=1, threads=0), PlainLoop(spec, image, sessions=2, threads=1)
        small = image[: spec.window_px, : spec.window_px]
        await client.edit_image(small, scale=SCALE)  # warms up
        for _ in range(options.repeats):
            began, began_cpu = time.perf_counter(), processor_s()
            result = await client.edit_image(image, scale=SCALE)
            system_s.append(time.perf_counter() - began)
            system_cpu_s.append(processor_s() - began_cpu)
            for loop, kept, kept_cpu in ((plain, plain_s, plain_cpu_s), (pair, pair_s, [])):
                began_cpu = processor_s()
                kept.append(await asyncio.to_thread(_seconds, loop))
                kept_cpu.append(processor_s() - began_cpu)
                assert loop.mean_difference(result) < 0.5, "the loop and the service disagree"
    figures = {
        "ratio": paired_ratio(system_s, plain_s),
        "ratio_two_sessions": paired_ratio(system_s, pair_s),
        "cpu_ratio": paired_ratio(system_cpu_s, plain_cpu_s),
        "system_s": float(np.median(system_s)),
        "plain_s": float(np.median(plain_s)),
        "two_sessions_s": float(np.median(pair_s)),
        "windows": len(plain.tiles),
    }
    notes = (f"{options.size}×{options.size} px, ×{SCALE}, {len(plain.tiles)} windows, median of {options.repeats}", WHAT)
    return Report("overhead", rounded(figures), BOUNDS, notes)


class PlainLoop:
    """The model on every window of `image`, without a service. threads 0: ONNX Runtime's default."""

    def __init__(self, spec: Model, image: Pixels, *, sessions: int, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        path = ROOT / "model_repository" / spec.name / spec.versions[-1] / "model.onnx"
        self._sessions = [onnxruntime.InferenceSession(path, options) for _ in range(sessions)]
        self._image = image
        height, width, channels = image.shape
        grid = TileGrid(height, width, spec.window_px, spec.halo_px, spec.halo_px - spec.receptive_field_px)
        self.tiles = [tile for row in grid for tile in row.tiles]
        self._result = np.empty((height * spec.scale, width * spec.scale, channels), np.uint8)
        self._scale = spec.scale

    def __call__(self) -> None:
        if len(self._sessions) == 1:
            self._run(self._sessions[0], self.tiles)
            return
        with ThreadPoolExecutor(len(self._sessions)) as threads:
            shares = [self.tiles[first :: len(self._sessions)] for first in range(len(self._sessions))]
            list(threads.map(self._run, self._sessions, shares))

    def mean_difference(self, other: Pixels) -> float:
        """Levels; not 0, because the service blends where cores meet."""
        return float(np.abs(self._result.astype(np.int16) - other).mean())

    def _run(self, session: onnxruntime.InferenceSession, tiles: list[Tile]) -> None:
        for tile in tiles:
            rows, columns = tile.row, tile.column
            (result,) = session.run(None, {"image": self._image[rows.window.slice, columns.window.slice][None]})
            core = tuple(axis.core.shifted(-axis.window.start).scaled(self._scale).slice for axis in (rows, columns))
            self._result[rows.core.scaled(self._scale).slice, columns.core.scaled(self._scale).slice] = result[0][core]


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
