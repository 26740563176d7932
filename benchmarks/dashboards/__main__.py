"""Puts load on a service for some minutes and draws its dashboards: `make draw-dashboards`."""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from benchmarks.dashboards.collect import Data, collect
from benchmarks.dashboards.draw import draw
from benchmarks.dashboards.load import Load
from benchmarks.dashboards.queries import dashboards
from benchmarks.dashboards.stack import stack
from retouch import RetouchClient

ROOT = Path(__file__).resolve().parents[2]
STEP_S = 5.0
RATE_INTERVAL = "30s"


async def observe(minutes: float) -> Data:
    """What the dashboards show of a service under load, with a budget of two edits so that some wait and some are refused."""
    with tempfile.TemporaryDirectory(prefix="retouch-dashboards-") as folder:
        async with (
            stack(Path(folder), interval_s=2, budget_px=500_000, queue=4) as running,
            RetouchClient(running.target) as client,
        ):
            start_s = time.time()
            await Load(client).some_minutes(minutes)
            data = await collect(running.prometheus, start_s + 30, time.time(), step_s=STEP_S, rate_interval=RATE_INTERVAL)
    return data


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboards", description=__doc__)
    parser.add_argument("--minutes", type=float, default=6.0, help="how long to put load on the service")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/dashboards", help="folder for the pictures")
    parser.add_argument("--data", type=Path, default=ROOT / "out/dashboards.json", help="where the answers are kept")
    parser.add_argument("--redraw", action="store_true", help="draw the kept answers again, without a service")
    options = parser.parse_args()
    if not options.redraw:
        options.data.parent.mkdir(parents=True, exist_ok=True)
        options.data.write_text(json.dumps(asyncio.run(observe(options.minutes))))
    data: Data = json.loads(options.data.read_text())
    options.out.mkdir(parents=True, exist_ok=True)
    for name, dashboard in dashboards().items():
        draw(dashboard, data[name], options.out / f"{name}.webp")
        print(options.out / f"{name}.webp")


if __name__ == "__main__":
    main()
