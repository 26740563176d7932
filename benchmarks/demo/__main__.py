"""`python -m benchmarks.demo`: edits the demonstration photograph with a service that comes up for it and goes down again."""

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from benchmarks.demo import outcome
from benchmarks.demo.leftovers import leftovers, shared_memory
from benchmarks.demo.scene import Scene, make_scene
from benchmarks.photograph import Pixels
from benchmarks.service import service
from retouch import Done
from retouch.cli.progress import EditBars
from retouch.cli.tables import report_table, score

SCALE = 2


async def edit(scene: Scene, console: Console) -> tuple[Pixels, Done, dict[str, float]]:
    """The result, the service's report, and how long start, edit and all of it took, in seconds."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    began = time.perf_counter()
    console.print("starting Triton and the orchestrator …")
    async with service() as client:
        up = time.perf_counter()
        console.print(f"ready after {up - began:.1f} s; removing text, filling holes, enlarging ×{SCALE} …")
        with EditBars(console) as bars:
            async with client.edit(scene.before, scene.mask, scale=SCALE) as call:
                async for event in call:
                    bars.show(event)
                after = await call.result()
        edited = time.perf_counter()
    seconds = {"start": up - began, "edit": edited - up, "all": time.perf_counter() - began}
    return after, call.report, seconds


def main() -> int:
    """Exit code: 0, or 1 when something was left running or lying about."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the pictures (default: %(default)s)")
    folder: Path = parser.parse_args().out
    console = Console(highlight=False)
    scene, there_before = make_scene(), shared_memory()
    after, done, seconds = asyncio.run(edit(scene, console))
    left = leftovers(there_before)
    outcome.write(folder, scene, after)
    figures = outcome.summary(scene, after, done, seconds, left)
    outcome.write_summary(folder, figures)
    console.print(report_table(done))
    _print_summary(console, scene, after, done, seconds)
    console.print(f"pictures and summary.json are in {folder}/")
    console.print("left behind: " + ("; ".join(left) if left else "no process, nothing in /dev/shm"))
    return 1 if left else 0


def _print_summary(console: Console, scene: Scene, after: Pixels, done: Done, seconds: dict[str, float]) -> None:
    def size(pixels: Pixels) -> str:
        return f"{pixels.shape[1]}×{pixels.shape[0]}"

    psnr_db = outcome.psnr_db(scene, after)
    residual = "-" if done.residual_text_score is None else f"{done.residual_text_score:.2f}"
    console.print(
        f"{size(scene.before)} → {size(after)} px in {seconds['edit']:.1f} s ({seconds['all']:.1f} s with start and stop)"
    )
    console.print(f"seam score {score(done.seam_score)} (1.00 = no trace of a tile's border), text still found {residual}")
    before, now = psnr_db["before"], psnr_db["after"]
    console.print(f"under captions and scratch, against the photograph: {before:.1f} dB before, {now:.1f} dB after")
    for warning in done.warnings:
        console.print(f"warning: {warning}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
