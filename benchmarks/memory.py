"""Peak resident memory of the orchestrator while huge images pass and are edited.

Of the orchestrator's process alone (VmHWM, without Triton), each edit in a fresh one, size × size px:

peak_mib: most of the image lies outside the mask; growth: that over the peak for a quarter of the rows.
edit_peak_mib: text removal, inpainting and ×2, with 5 % of the image masked; edit_growth: twice the rows over that.
passthrough_*: nothing to edit, --passthrough px a side; completed is 1 when every pixel came back.
client_peak_mib: of `retouch edit`, from a TIFF of size × size/4 px to a TIFF; client_growth: that over half the rows.

What an orchestrator holds does not depend on what a model makes of pixels, nor for how long. So the three stages of the edit
call stand-ins, through the real Triton and with the configurations of the product's models; `--models shipped` has the real
ones: minutes at 2048 px, an hour and more at 16384. Results of models are not kept: a cache's room comes on top.
"""

import argparse
import asyncio
import time
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.files import peak_of_file_edit
from benchmarks.photograph import Pixels
from benchmarks.report import Bound, Report, rounded
from benchmarks.service import orchestrator, triton
from benchmarks.stream import edit_endless_rows
from retouch import EditOptions, Size
from retouch_server.local.triton import LocalTriton

BOUNDS = {
    "peak_mib": Bound(most=500),
    "growth": Bound(most=1.2),
    "edit_peak_mib": Bound(most=800),
    "edit_growth": Bound(most=1.2),
    "passthrough_completed": Bound(least=1),
    "client_growth": Bound(most=1.2),
}
MIB = 2**20

SPARSE = EditOptions(text_removal="never", inpaint="classical")
_BLOB_RADIUS_PX = 24
_BLOBS = ((0.11, 0.13), (0.37, 0.81), (0.58, 0.29), (0.93, 0.94))
"""Where they lie, as shares of height and width: as many in an image of either height."""

STAGES = ("text_removal", "inpaint_classical", "upscale_conservative_x2")
BESIDE = ("precheck", "text_detect")
"""Models that look at the proxy: always the real ones."""
EDIT = EditOptions(text_removal="always", inpaint="classical", scale=2)
MASKED_SHARE = 0.05
_RADII = (1 / 128, 1 / 64, 1 / 32)
"""Of masked discs, as shares of the width: some lie within a window, some hold several."""


@dataclass(frozen=True, slots=True)
class Run:
    """One edit in a fresh orchestrator."""

    idle_mib: float
    """The orchestrator's peak before it."""
    peak_mib: float
    seconds: float
    is_complete: bool
    """Every pixel of the result came."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=16384, help="side of the square image, px")
    parser.add_argument("--passthrough", type=int, default=30000, help="side of the square image that only passes, px")
    parser.add_argument("--models", choices=("stand-in", "shipped"), default="stand-in", help="what the edit's stages call")


async def measure(options: argparse.Namespace) -> Report:
    side = options.size
    small, square, tall, vast = (
        Size(height, width) for height, width in ((side // 4, side), (side, side), (2 * side, side), (options.passthrough,) * 2)
    )
    async with triton(["inpaint_classical"]) as server:
        quarter, whole = [await _run(server, size, sparse_mask(size), SPARSE) for size in (small, square)]
        passed = await _run(server, vast, None, EditOptions())
        short_file, file = [await _of_client(server, Size(rows, side // 4)) for rows in (side // 2, side)]
    real, stood_in = ((*BESIDE, *STAGES), ()) if options.models == "shipped" else (BESIDE, STAGES)
    async with triton(real, stood_in=stood_in) as server:
        edit, tall_edit = [await _run(server, size, spread_mask(size), EDIT) for size in (square, tall)]
    figures = {
        "peak_mib": whole.peak_mib,
        "growth": whole.peak_mib / quarter.peak_mib,
        "edit_peak_mib": edit.peak_mib,
        "edit_growth": tall_edit.peak_mib / edit.peak_mib,
        "passthrough_completed": float(passed.is_complete),
        "passthrough_peak_mib": passed.peak_mib,
        "client_peak_mib": file,
        "client_growth": file / short_file,
        "idle_mib": quarter.idle_mib,
        "peak_of_a_quarter_mib": quarter.peak_mib,
        "edit_peak_of_twice_the_rows_mib": tall_edit.peak_mib,
        "seconds": whole.seconds,
        "passthrough_seconds": passed.seconds,
        "edit_seconds": edit.seconds,
        "edit_of_twice_the_rows_seconds": tall_edit.seconds,
    }
    notes = (
        f"{square} RGB ({square.height * square.width * 3 / 1e6:.0f} MB), a quarter and twice of its rows; {vast} pass",
        f"edit: text removal, inpainting and ×2 by {options.models} models, {MASKED_SHARE:.0%} masked",
        "rows of the shipped photograph, repeated",
    )
    return Report("memory", rounded(figures), BOUNDS, notes)


async def _run(server: LocalTriton, size: Size, mask: Pixels | None, options: EditOptions) -> Run:
    """One edit in a fresh orchestrator."""
    async with orchestrator(server) as running:
        idle_bytes = running.peak_bytes
        began = time.perf_counter()
        received_px = await edit_endless_rows(running.target, size, mask, options)
        seconds = time.perf_counter() - began
        is_complete = received_px == size.height * size.width * options.scale**2
        return Run(idle_bytes / MIB, running.peak_bytes / MIB, seconds, is_complete)


async def _of_client(server: LocalTriton, size: Size) -> float:
    """MiB at the peak of a client that has an image of `size` passed from file to file."""
    async with orchestrator(server) as running:
        return await asyncio.to_thread(peak_of_file_edit, running.target, size) / MIB


def sparse_mask(size: Size) -> Pixels:
    """(height, width) uint8: a few discs of 255."""
    mask = np.zeros((size.height, size.width), np.uint8)
    for y, x in _BLOBS:
        cv2.circle(mask, (round(x * size.width), round(y * size.height)), _BLOB_RADIUS_PX, 255, cv2.FILLED)
    return mask


def spread_mask(size: Size) -> Pixels:
    """(height, width) uint8: discs of 255 anywhere, until MASKED_SHARE of the pixels are covered."""
    rng, mask = np.random.default_rng(0), np.zeros((size.height, size.width), np.uint8)
    missing_px = MASKED_SHARE * mask.size
    while missing_px > 0:
        radius = max(1, round(float(rng.choice(_RADII)) * size.width))
        y, x = int(rng.integers(size.height)), int(rng.integers(size.width))
        around = mask[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        before_px = cv2.countNonZero(around)
        cv2.circle(mask, (x, y), radius, 255, cv2.FILLED)
        missing_px -= cv2.countNonZero(around) - before_px
    return mask
