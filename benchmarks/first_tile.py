"""When the first finished tile of a ×2 enlargement reaches the client, as a share of the edit's whole time."""

import argparse
import statistics
import time

from benchmarks.photograph import WHAT, Pixels, enlarged
from benchmarks.report import Bound, Report, rounded
from benchmarks.service import service
from retouch import RetouchClient, TileReady

MODEL = "upscale_conservative_x2"
SCALE = 2
BOUNDS = {"fraction": Bound(most=0.15)}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=4096, help="side of the square image, px")
    parser.add_argument("--repeats", type=int, default=3, help="edits; the median counts")


async def measure(options: argparse.Namespace) -> Report:
    image = enlarged(options.size, options.size)
    async with service([MODEL]) as client:
        await client.edit_image(image[:512, :512], scale=SCALE)  # warms up
        times = [await _times(client, image) for _ in range(options.repeats)]
    figures = {
        "fraction": statistics.median(first_s / whole_s for first_s, whole_s in times),
        "first_tile_s": statistics.median(first_s for first_s, _ in times),
        "edit_s": statistics.median(whole_s for _, whole_s in times),
    }
    notes = (f"{options.size}×{options.size} px, ×{SCALE}, median of {options.repeats}", WHAT)
    return Report("first_tile", rounded(figures), BOUNDS, notes)


async def _times(client: RetouchClient, image: Pixels) -> tuple[float, float]:
    """Seconds from the call to the first tile, and to the complete result."""
    began = time.perf_counter()
    first_s: float | None = None
    async with client.edit(image, scale=SCALE) as call:
        async for event in call:
            if first_s is None and isinstance(event, TileReady):
                first_s = time.perf_counter() - began
        await call.result()
    assert first_s is not None
    return first_s, time.perf_counter() - began
