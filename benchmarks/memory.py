"""Peak resident memory of the orchestrator while a huge image passes, most of it outside the mask.

peak_mib: the orchestrator's process alone (VmHWM, without Triton) for size × size px; growth: that over its peak for
size/4 × size px, each in a fresh process.
"""

import argparse
import time

import cv2
import numpy as np

from benchmarks.photograph import Pixels
from benchmarks.report import Bound, Report, rounded
from benchmarks.service import orchestrator, triton
from benchmarks.stream import edit_endless_rows
from retouch import EditOptions, Size
from retouch_server.local.triton import LocalTriton

BOUNDS = {"peak_mib": Bound(most=500), "growth": Bound(most=1.2)}
OPTIONS = EditOptions(text_removal="never", inpaint="classical")
_BLOB_RADIUS_PX = 24
_BLOBS = ((0.11, 0.13), (0.37, 0.81), (0.58, 0.29), (0.93, 0.94))
"""Where they lie, as shares of height and width: as many in an image of either height."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=16384, help="side of the square image, px")


async def measure(options: argparse.Namespace) -> Report:
    large, small = Size(options.size, options.size), Size(options.size // 4, options.size)
    async with triton(["inpaint_classical"]) as server:
        idle_bytes, small_bytes, small_s = await _peak(server, small)
        _, large_bytes, large_s = await _peak(server, large)
    mib = 2**20
    figures = {
        "peak_mib": large_bytes / mib,
        "growth": large_bytes / small_bytes,
        "peak_of_a_quarter_mib": small_bytes / mib,
        "idle_mib": idle_bytes / mib,
        "seconds": large_s,
        "seconds_of_a_quarter": small_s,
    }
    notes = (
        f"{large.height}×{large.width} px RGB ({large.height * large.width * 3 / 1e6:.0f} MB) and a quarter of its rows",
        f"{len(_BLOBS)} masked discs, inpainted",
        "rows of the shipped photograph, repeated",
    )
    return Report("memory", rounded(figures), BOUNDS, notes)


async def _peak(server: LocalTriton, size: Size) -> tuple[int, int, float]:
    """Bytes after the start and after one edit in a fresh orchestrator, and the edit's seconds."""
    async with orchestrator(server) as running:
        idle_bytes = running.peak_bytes
        began = time.perf_counter()
        received_px = await edit_endless_rows(running.target, size, sparse_mask(size), OPTIONS)
        seconds = time.perf_counter() - began
        assert received_px == size.height * size.width
        return idle_bytes, running.peak_bytes, seconds


def sparse_mask(size: Size) -> Pixels:
    """(height, width) uint8: a few discs of 255."""
    mask = np.zeros((size.height, size.width), np.uint8)
    for y, x in _BLOBS:
        cv2.circle(mask, (round(x * size.width), round(y * size.height)), _BLOB_RADIUS_PX, 255, cv2.FILLED)
    return mask
