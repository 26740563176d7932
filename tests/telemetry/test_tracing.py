"""Traces: what a collector gets of an edit, spoken to in OTLP over gRPC by a whole orchestrator."""

import asyncio
import io
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from retouch import BlockingClient, RetouchClient
from retouch.v1.mask_service_pb2 import GetMaskRequest
from retouch_server.app import App
from retouch_server.config import ConfigError, Settings
from retouch_server.errors import ModelFault, ModelUnavailable
from retouch_server.models.fake import FakeBackend
from retouch_server.telemetry import tracing
from retouch_server.telemetry.logging import set_up_logging
from tests.support.collector import Collector, Span, collector
from tests.support.models import fake_models
from tests.support.service import Service, eventually, serve
from tests.support.wire import Image, edit_of, noise, opened, say, soft_disc

EDIT = "retouch.v1.EditService/Edit"
IMAGE, MASK = noise(150, 170), soft_disc(150, 170, seed=3)
ALL_STAGES = {"text_removal": "always", "inpaint": "classical", "scale": 2}
PROGRAM = TracerProvider(shutdown_on_exit=False).get_tracer("a program that uses the client")
HISTOGRAMS = ("edit_seconds", "first_tile_seconds", "stage_seconds", "model_call_seconds")


@pytest.fixture
async def collected() -> AsyncIterator[Collector]:
    async with collector() as collecting:
        yield collecting


@pytest.fixture
def silent_endpoint() -> Iterator[str]:
    """A collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def log_stream() -> Iterator[io.StringIO]:
    """What the server logs; the root logger is left as it was."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    set_up_logging("info", as_json=True, stream=stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


async def edit_in_program(service: Service, image: Image = IMAGE, mask: Image | None = MASK, **options: Any) -> tuple[Any, str]:
    """The report of an edit by a program that is in a span of its own, and that span's ids as `trace-span`."""
    async with RetouchClient(service.target) as client:
        with PROGRAM.start_as_current_span("program") as span:
            call = client.edit(image, mask, **(options or ALL_STAGES))
            await call.result()
            ids = span.get_span_context()
    return call.report, f"{ids.trace_id:032x}-{ids.span_id:016x}"


def exemplars(service: Service) -> dict[str, set[str]]:
    """The traces that the buckets of each histogram point to, in OpenMetrics."""
    body, _ = service.app.metrics.exposition("application/openmetrics-text; version=1.0.0")
    found: dict[str, set[str]] = {name: set() for name in HISTOGRAMS}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            if sample.exemplar is not None:
                found.setdefault(family.name.removeprefix("retouch_"), set()).add(sample.exemplar.labels["trace_id"])
    return found


def exporters() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "Otel" in thread.name]


def check_nesting(collected: Collector, parent: Span) -> None:
    """Whatever a span is parent of lies within its time."""
    for child in collected.children(parent):
        assert parent.start_s <= child.start_s <= child.end_s <= parent.end_s, (parent.name, child.name)
        check_nesting(collected, child)


async def test_an_edit_is_one_trace_from_the_program_to_the_model(tmp_path: Path, collected: Collector) -> None:
    async with serve(tmp_path, otlp_endpoint=collected.endpoint, trace_ratio=0.0) as service:
        report, ids = await edit_in_program(service)

    edit = collected.the(EDIT)
    assert f"{edit.trace}-{edit.parent}" == ids
    assert {span.trace for span in collected.spans} == {edit.trace}
    assert (edit.service, edit.kind, edit.is_error) == ("retouch-server", "SPAN_KIND_SERVER", False)
    assert edit.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": EDIT,
        "rpc.response.status_code": "OK",
        "retouch.edit_id": report.edit_id,
        "retouch.height": 150,
        "retouch.width": 170,
        "retouch.scale": 2,
        "retouch.criticality": "standard",
        "retouch.mask_digest": report.mask_digest,
        "retouch.mask_version": 0,
    }
    assert [event.name for event in edit.events] == ["accepted", "first tile"]
    names = [span.name for span in collected.children(edit)]
    assert names[:3] == ["admission", "mask", "plan"]
    assert sorted(names[3:]) == ["residual text", "stage inpaint", "stage text_removal", "stage upscale"]
    check_nesting(collected, edit)

    (precheck,) = collected.children(collected.the("plan"))
    assert precheck.name == "precheck"
    assert {span.name for span in collected.children(precheck)} == {"call precheck", "call text_detect"}
    for stage in report.stages:
        span = collected.the(f"stage {stage.stage}")
        tiles = [each for each in collected.children(span) if each.name == "tile"]
        assert len(tiles) == stage.tiles_run == span.attributes["retouch.tiles_run"]
        assert span.attributes["retouch.tiles_skipped"] == stage.tiles_skipped
        assert span.attributes["retouch.model_digest"] == stage.model.digest
        places = {(tile.attributes["retouch.y"], tile.attributes["retouch.x"]) for tile in tiles}
        assert len(places) == len({tile.attributes["retouch.tile"] for tile in tiles}) == len(tiles)
        for tile in tiles:
            assert (tile.attributes["retouch.model"], tile.attributes["retouch.version"]) == (stage.model.name, "1")
            assert tile.attributes["retouch.outcome"] == "run"
            (call,) = collected.children(tile)
            assert (call.name, call.attributes["retouch.attempts"]) == (f"call {stage.model.name}", 1)


async def test_what_is_known_is_not_called(tmp_path: Path, collected: Collector) -> None:
    async with serve(tmp_path, otlp_endpoint=collected.endpoint, trace_ratio=1.0) as service:
        await say(service.edits, edit_of(IMAGE, scale=2))
        report, ids = await edit_in_program(service, mask=None, scale=2)
    again = [span for span in collected.spans if span.trace == ids.partition("-")[0]]
    outcomes = [span.attributes["retouch.outcome"] for span in again if span.name == "tile"]
    assert outcomes == ["cached"] * report.stages[-1].tiles_cached
    assert len(outcomes) > 3
    assert not [span for span in again if span.name.startswith("call ")]


async def test_attempts_are_events_of_the_call(tmp_path: Path, collected: Collector) -> None:
    async with serve(tmp_path, otlp_endpoint=collected.endpoint, trace_ratio=1.0) as service:
        service.backend.faults.extend([ModelUnavailable("model x does not answer", 2.0), None, ModelFault("x", "nonsense")])
        assert (await say(service.edits, edit_of(IMAGE, scale=2))).code is grpc.StatusCode.OK
    calls = collected.named("call upscale_conservative_x2")
    retried = sorted(
        (call.events[0].attributes["retouch.error"], call.attributes["retouch.attempts"], call.is_error)
        for call in calls
        if call.events
    )
    assert retried == [("model x does not answer", 2, False), ("model x failed: nonsense", 2, False)]
    assert [call.events[0].name for call in calls if call.events] == ["attempt failed"] * 2


async def test_a_fault_of_ours_is_an_error_and_a_refusal_is_none(tmp_path: Path, collected: Collector) -> None:
    async with serve(tmp_path, otlp_endpoint=collected.endpoint, trace_ratio=1.0) as service:
        refused = await say(service.edits, [opened(0, 5)])
        service.backend.faults.extend(ModelFault("x", "nonsense") for _ in range(100))
        failed = await say(service.edits, edit_of(IMAGE, scale=2))
    assert (refused.code.name, failed.code.name) == ("INVALID_ARGUMENT", "INTERNAL")
    spans = {span.attributes["rpc.response.status_code"]: span for span in collected.named(EDIT)}
    assert {code: span.is_error for code, span in spans.items()} == {"INVALID_ARGUMENT": False, "INTERNAL": True}
    assert spans["INTERNAL"].attributes["retouch.edit_id"] == failed.info.metadata["edit_id"]
    assert any(span.is_error for span in collected.named("tile"))
    assert any(span.is_error for span in collected.named("call upscale_conservative_x2"))


async def test_a_cancelled_edit_ends_its_spans(tmp_path: Path, collected: Collector) -> None:
    async with serve(tmp_path, otlp_endpoint=collected.endpoint, trace_ratio=1.0) as service:
        service.gate.close()
        editing = asyncio.create_task(say(service.edits, edit_of(IMAGE, scale=2)))
        await service.gate.reached(1)
        editing.cancel()
        await asyncio.gather(editing, return_exceptions=True)
        await service.comes_to_rest()
    edit = collected.the(EDIT)
    assert (edit.attributes["rpc.response.status_code"], edit.is_error) == ("CANCELLED", False)
    check_nesting(collected, edit)
    assert collected.named("call upscale_conservative_x2")


async def test_other_calls_have_spans_and_health_has_none(tmp_path: Path, collected: Collector) -> None:
    async with serve(tmp_path, otlp_endpoint=collected.endpoint, trace_ratio=1.0) as service:
        await service.put_mask("photo", MASK)
        assert [part async for part in service.masks.GetMask(GetMaskRequest(image_id="photo"))]
        async with RetouchClient(service.target) as client:
            await client.precheck(IMAGE, MASK)
        health = health_pb2_grpc.HealthStub(service.channel)
        await health.Check(health_pb2.HealthCheckRequest())
    calls = [span.name.removeprefix("retouch.v1.") for span in collected.spans if span.kind == "SPAN_KIND_SERVER"]
    assert sorted(calls) == ["MaskService/GetMask", "MaskService/PutMask", "PrecheckService/Precheck"]
    assert collected.the("plan").parent == collected.the("retouch.v1.PrecheckService/Precheck").id


async def test_the_blocking_client_hands_on_the_trace_too(tmp_path: Path, collected: Collector) -> None:
    def edit() -> int:
        with BlockingClient(service.target) as client, PROGRAM.start_as_current_span("program") as span:
            client.edit_image(IMAGE, scale=2)
            return span.get_span_context().span_id

    async with serve(tmp_path, otlp_endpoint=collected.endpoint, trace_ratio=0.0) as service:
        program = await asyncio.to_thread(edit)
    assert collected.the(EDIT).parent == f"{program:016x}"


async def test_off_by_default(tmp_path: Path) -> None:
    before = exporters()
    async with serve(tmp_path) as service:
        report, _ = await edit_in_program(service)
        assert exporters() == before
        assert exemplars(service) == {name: set() for name in HISTOGRAMS}
        assert report.stages


@pytest.mark.parametrize("decided_by_caller", [True, False])
async def test_what_is_not_sampled_is_not_told(tmp_path: Path, collected: Collector, decided_by_caller: bool) -> None:
    """Nor is Triton told of it; but the log names the trace."""
    told: list[dict[str, str]] = []

    async def listen(call: Any) -> None:
        told.append(tracing.headers())

    metadata = (("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-00"),) if decided_by_caller else ()
    ratio = 1.0 if decided_by_caller else 0.0
    async with serve(tmp_path, otlp_endpoint=collected.endpoint, trace_ratio=ratio) as service:
        service.backend._gate = listen  # type: ignore[assignment]
        assert (await say(service.edits, edit_of(IMAGE, scale=2), metadata=metadata)).code is grpc.StatusCode.OK
        assert exemplars(service) == {name: set() for name in HISTOGRAMS}
    assert told
    assert not any(told)
    assert collected.spans == []


async def test_the_models_get_the_call_as_parent(tmp_path: Path, collected: Collector) -> None:
    told: list[str] = []

    async def listen(call: Any) -> None:
        told.append(tracing.headers()["traceparent"])  # its last byte: sampled, of random id

    async with serve(tmp_path, otlp_endpoint=collected.endpoint, trace_ratio=1.0) as service:
        service.backend._gate = listen  # type: ignore[assignment]
        await say(service.edits, edit_of(IMAGE, scale=2))
    calls = collected.named("call upscale_conservative_x2")
    assert sorted(told) == sorted(f"00-{call.trace}-{call.id}-03" for call in calls)


async def test_histograms_point_to_the_trace_in_open_metrics_alone(tmp_path: Path, collected: Collector) -> None:
    async with serve(tmp_path, otlp_endpoint=collected.endpoint, trace_ratio=0.0) as service:
        _, ids = await edit_in_program(service)
        assert exemplars(service) == {name: {ids.partition("-")[0]} for name in HISTOGRAMS}
        assert b"trace_id" not in service.app.metrics.exposition()[0]


async def test_the_log_names_edit_and_trace(tmp_path: Path, collected: Collector, log_stream: io.StringIO) -> None:
    async with serve(tmp_path, otlp_endpoint=collected.endpoint, trace_ratio=1.0) as service:
        await say(service.edits, [opened(0, 5)])
    records = [json.loads(line) for line in log_stream.getvalue().splitlines()]
    (refusal,) = [record for record in records if record["message"].startswith("refused")]
    edit = collected.the(EDIT)
    assert (refusal["trace_id"], refusal["edit_id"]) == (edit.trace, edit.attributes["retouch.edit_id"])
    assert not any("trace_id" in record for record in records if record is not refusal)


@pytest.mark.parametrize("collector_is", ["away", "silent"])
async def test_a_collector_in_trouble_fails_no_edit(
    tmp_path: Path, silent_endpoint: str, monkeypatch: pytest.MonkeyPatch, log_stream: io.StringIO, collector_is: str
) -> None:
    """The queue, of 8 spans here, overflows many times; what is left when the server stops is given up after a while."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    monkeypatch.setattr(tracing, "FLUSH_S", 0.5)
    monkeypatch.setattr(logging.getLogger("opentelemetry.sdk._shared_internal"), "filters", [])  # tells the same again
    with socket.create_server(("127.0.0.1", 0)) as taken:
        away = f"http://127.0.0.1:{taken.getsockname()[1]}"  # nobody listens once the block is left
    threads = exporters()
    async with serve(tmp_path, otlp_endpoint=silent_endpoint if collector_is == "silent" else away, trace_ratio=1.0) as service:
        for seed in range(3):
            assert (await say(service.edits, edit_of(noise(300, 300, seed=seed), scale=2))).code is grpc.StatusCode.OK
        await service.comes_to_rest()
        stopping_s = time.monotonic()
    assert time.monotonic() - stopping_s < tracing.FLUSH_S + 3.0
    await eventually(lambda: exporters() == threads)
    assert "Queue full, dropping Span." in log_stream.getvalue()


async def test_spans_cost_little_where_nothing_is_traced() -> None:
    """A hundred spans would go unnoticed in the fastest of edits, of some milliseconds."""
    began_s = time.perf_counter()
    for number in range(1000):
        with tracing.span("tile"):
            tracing.annotate(tile=number)
    assert time.perf_counter() - began_s < 0.05


async def test_without_the_extra_the_setting_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    settings = Settings(host="127.0.0.1", port=0, metrics_port=0, otlp_endpoint="http://localhost:4317")
    app = App(settings, FakeBackend(fake_models()))
    with pytest.raises(ConfigError, match=r"RETOUCH_OTLP_ENDPOINT needs the Python package opentelemetry.*\[tracing\]"):
        await app.start()
    await app.stop(grace_s=0)
