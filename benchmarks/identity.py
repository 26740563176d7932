"""Image throughput through the whole service when no pixel changes, over that of a bare grpc.aio echo of the same bytes.

passthrough_ratio: nothing to edit. model_ratio: every tile goes to Triton's `identity` model and is sewn together again.
"""

import argparse
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import numpy as np

from benchmarks.child import child
from benchmarks.echo import echoed_bytes
from benchmarks.photograph import WHAT, Pixels, enlarged
from benchmarks.report import Bound, Report, paired_ratio, rounded
from benchmarks.service import service
from retouch import RetouchClient
from retouch.geometry import Size
from retouch.transport import open_channel
from retouch.upload import strips
from retouch_server.local.control import is_listening
from retouch_server.local.launch import HOST, LocalTritonSettings, Ports

BOUNDS = {"passthrough_ratio": Bound(least=0.5), "model_ratio": Bound(least=0.2)}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=4096, help="side of the square image, px")
    parser.add_argument("--repeats", type=int, default=7, help="rounds; the median counts")


async def measure(options: argparse.Namespace) -> Report:
    image = enlarged(options.size, options.size)
    messages = [image[tile.y : tile.bottom].tobytes() for tile in strips(Size(*image.shape[:2]), 3)]
    echo_s: list[float] = []
    passthrough_s: list[float] = []
    model_s: list[float] = []
    async with echo() as channel, service(["identity"]) as client:
        for number in range(-1, options.repeats):  # the first round warms up
            times = (
                await _echo_s(channel, messages, image.nbytes),
                await _edit_s(client, image),
                await _edit_s(client, image, upscaler="identity"),
            )
            if number >= 0:
                for kept, seconds in zip((echo_s, passthrough_s, model_s), times, strict=True):
                    kept.append(seconds)
    mb = image.nbytes / 1e6
    figures = {
        "passthrough_ratio": paired_ratio(echo_s, passthrough_s),
        "model_ratio": paired_ratio(echo_s, model_s),
        "echo_mb_per_s": mb / float(np.median(echo_s)),
        "passthrough_mb_per_s": mb / float(np.median(passthrough_s)),
        "model_mb_per_s": mb / float(np.median(model_s)),
    }
    notes = (f"{options.size}×{options.size} px RGB, {mb:.0f} MB each way, median of {options.repeats}", WHAT)
    return Report("identity", rounded(figures), BOUNDS, notes)


@contextlib.asynccontextmanager
async def echo() -> AsyncGenerator[grpc.aio.Channel]:
    """A channel to an echo in a process of its own, with the options of Retouch's client."""
    with TemporaryDirectory(prefix="retouch-benchmark-") as folder:
        port = Ports.free(LocalTritonSettings(repository=Path(folder))).grpc

        async def is_ready() -> bool:
            return await is_listening(HOST, port)

        async with (
            child("benchmarks.echo", [str(port)], Path(folder) / "echo.log", is_ready=is_ready),
            open_channel(f"{HOST}:{port}", None) as channel,
        ):
            yield channel


async def _echo_s(channel: grpc.aio.Channel, messages: list[bytes], expected_bytes: int) -> float:
    began = time.perf_counter()
    received = await echoed_bytes(channel, messages)
    seconds = time.perf_counter() - began
    assert received == expected_bytes
    return seconds


async def _edit_s(client: RetouchClient, image: Pixels, upscaler: str | None = None) -> float:
    began = time.perf_counter()
    result = await client.edit_image(image, upscaler=upscaler)
    seconds = time.perf_counter() - began
    assert np.array_equal(result, image), "the identity changed pixels"
    return seconds
