"""`python -m benchmarks NAME`: runs one benchmark, or `all` of them."""

import argparse
import asyncio
import json
import signal
import sys
from types import ModuleType

from benchmarks import (
    blend,
    cache,
    capacity,
    first_tile,
    halo,
    holes,
    identity,
    incremental,
    legacy,
    memory,
    overhead,
    precheck,
    seams,
)
from benchmarks.report import Report

BENCHMARKS: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        identity,
        overhead,
        memory,
        first_tile,
        blend,
        seams,
        halo,
        holes,
        incremental,
        cache,
        precheck,
        legacy,
        capacity,
    )
}
"""Each has `add_options(parser)` and `async measure(options) -> Report`; its docstring is its help."""


async def run(name: str, options: argparse.Namespace) -> Report:
    """Runs one benchmark; SIGTERM cancels it, so that everything goes down in order."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await BENCHMARKS[name].measure(options)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="The last line of stdout is a JSON object.")
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, module in BENCHMARKS.items():
        text = (module.__doc__ or "").strip()
        formatter = argparse.ArgumentDefaultsHelpFormatter
        command = commands.add_parser(name, help=text.splitlines()[0], description=text, formatter_class=formatter)
        module.add_options(command)
    commands.add_parser("all", help="Every one of them, with its defaults")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.name != "all":
        report = asyncio.run(run(options.name, options))
        print(report, report.json(), sep="\n", flush=True)
        return 0
    figures: dict[str, object] = {}
    for name in BENCHMARKS:
        report = asyncio.run(run(name, parse([name])))
        figures[name] = dict(report.figures)
        print(report, report.json(), sep="\n", flush=True)
    print(json.dumps({"benchmark": "all", "figures": figures}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
