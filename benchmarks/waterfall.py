"""`python -m benchmarks.waterfall`: traces an edit of the demonstration photograph, down into Triton, and draws the trace."""

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks.demo.scene import make_scene
from retouch import RetouchClient
from retouch_server.local.up import LocalSettings, local_service
from tests.support.collector import Collector, Span, collector
from tests.support.service import eventually

SIZE_PX = 768
SCALE = 2
TRITON = "triton-inference-server"
COLOURS = {
    "program": "#8c8c8c",
    "orchestrator": "#4477aa",
    "tile": "#c6d9ec",
    "call of the model": "#88aed0",
    "Triton: request": "#eebb66",
    "Triton: compute": "#cc5533",
}


async def trace() -> Collector:
    """The spans of one edit: of the program that asked for it, of the orchestrator, and of Triton."""
    scene = make_scene()
    before, mask = scene.before[:SIZE_PX, :SIZE_PX], scene.mask[:SIZE_PX, :SIZE_PX]
    with tempfile.TemporaryDirectory(prefix="retouch-waterfall-") as folder:
        async with collector() as collected:
            server = {"otlp_endpoint": collected.endpoint, "trace_ratio": 0.0, "result_cache": "off"}
            async with local_service(LocalSettings(state_dir=Path(folder), server=server)) as service:
                program = TracerProvider(resource=Resource.create({"service.name": "program"}), shutdown_on_exit=False)
                program.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(collected.endpoint)))
                async with RetouchClient(service.target) as client:
                    with program.get_tracer(__name__).start_as_current_span("program"):
                        report = await _edited(client, before, mask)
                await asyncio.to_thread(program.shutdown)
                await eventually(lambda: len(collected.named("compute")) >= report, timeout_s=60)
            return collected


async def _edited(client: RetouchClient, before: object, mask: object) -> int:
    """How many windows the models were asked for."""
    call = client.edit(before, mask, scale=SCALE)  # type: ignore[call-overload]
    await call.result()
    return sum(stage.tiles_run for stage in call.report.stages)


def rows(collected: Collector, span: Span, depth: int = 0) -> Iterator[tuple[int, Span]]:
    """Depth first; what a tile or a call consists of stays in its row."""
    yield depth, span
    if span.name != "tile" and not span.name.startswith("call "):
        for child in collected.children(span):
            yield from rows(collected, child, depth + 1)


def below(collected: Collector, span: Span) -> Iterator[Span]:
    """A span and all below it, the widest first."""
    yield span
    for child in collected.children(span):
        yield from below(collected, child)


def kind_of(span: Span) -> str:
    """Which of COLOURS a span has."""
    if span.service == TRITON:
        return "Triton: compute" if span.name == "compute" else "Triton: request"
    if span.service == "program":
        return "program"
    return "tile" if span.name == "tile" else "call of the model" if span.name.startswith("call ") else "orchestrator"


def draw(collected: Collector, path: Path) -> None:
    """A bar for each span, beside its name; the two moments that a caller waits for as lines."""
    program = collected.the("program")
    lines = list(rows(collected, program))
    figure = Figure(figsize=(11, 0.24 * len(lines) + 1.3), layout="constrained")
    axes = figure.subplots()
    for y, (_, span) in enumerate(lines):
        parts = [span] if kind_of(span) in ("program", "orchestrator") else list(below(collected, span))
        for part in parts:
            axes.barh(y, part.end_s - part.start_s, 0.7, part.start_s - program.start_s, color=COLOURS[kind_of(part)])
        axes.text(span.end_s - program.start_s, y, f" {(span.end_s - span.start_s) * 1000:.0f} ms", va="center", fontsize=7)
    for event in collected.the("retouch.v1.EditService/Edit").events:
        axes.axvline(event.at_s - program.start_s, color="#444444", linewidth=0.7, linestyle=":")
        axes.text(event.at_s - program.start_s, -0.95, event.name, fontsize=7, ha="center", backgroundcolor="white")
    axes.set_yticks(range(len(lines)), ["    " * depth + _label(span) for depth, span in lines], fontsize=7, ha="left")
    axes.tick_params(axis="x", labelsize=7)
    axes.tick_params(axis="y", pad=165, length=0)
    axes.set_ylim(len(lines) - 0.4, -1.4)
    axes.set_xlim(0, (program.end_s - program.start_s) * 1.06)
    axes.set_xlabel("seconds since the program asked", fontsize=7)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(
        handles=[Patch(color=colour, label=kind) for kind, colour in COLOURS.items()],
        loc="outside upper center",
        ncols=len(COLOURS),
        fontsize=7,
        frameon=False,
    )
    figure.savefig(path, dpi=110, pil_kwargs={"lossless": True})  # of WebP; PNG always is


def _label(span: Span) -> str:
    if span.name == "tile":
        return f"tile at ({span.attributes['retouch.y']}, {span.attributes['retouch.x']}) px"
    return span.name


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waterfall", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/trace.png"), help="the picture (default: %(default)s)")
    path: Path = parser.parse_args().out
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(asyncio.run(trace()), path)
    print(f"the trace is drawn in {path}")


if __name__ == "__main__":
    main()
