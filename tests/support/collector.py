"""A collector of traces: OTLP over gRPC at one port, as the orchestrator speaks it, over HTTP at the next, as Triton does."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.json_format import MessageToDict
from grpc import aio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc


@dataclass(frozen=True, slots=True)
class Event:
    """What happened in a span, and when, in seconds since 1970."""

    name: str
    at_s: float
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """A span that arrived. Ids in hexadecimal digits, parent "" for the first of a trace; times in seconds since 1970."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    kind: str
    start_s: float
    end_s: float
    attributes: Mapping[str, Any]
    events: tuple[Event, ...]
    is_error: bool


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """What it got so far, in `spans`."""

    port: int = 0
    spans: list[Span] = field(default_factory=list[Span])

    @property
    def endpoint(self) -> str:
        """Of OTLP over gRPC."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def http_url(self) -> str:
        """Of OTLP over HTTP."""
        return f"http://127.0.0.1:{self.port + 1}/v1/traces"

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def the(self, name: str) -> Span:
        (span,) = self.named(name)
        return span

    def children(self, parent: Span) -> list[Span]:
        """Those right below a span, by their start."""
        return sorted((span for span in self.spans if span.parent == parent.id), key=lambda span: span.start_s)

    async def Export(self, request: pb.ExportTraceServiceRequest, context: Any) -> pb.ExportTraceServiceResponse:  # noqa: N802
        self._take(MessageToDict(request), _id_of_base64)
        return pb.ExportTraceServiceResponse()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One POST of OTLP's JSON, whose ids are hexadecimal."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:"))
        self._take(json.loads(await reader.readexactly(length)), str)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    def _take(self, request: Mapping[str, Any], id_of: Any) -> None:
        for resource in request.get("resourceSpans", ()):
            service = str(_attributes(resource["resource"])["service.name"])
            for scope in resource["scopeSpans"]:
                self.spans += [_span(service, span, id_of) for span in scope["spans"]]


def _span(service: str, span: Mapping[str, Any], id_of: Any) -> Span:
    return Span(
        service,
        span["name"],
        id_of(span["traceId"]),
        id_of(span["spanId"]),
        id_of(span.get("parentSpanId", "")),
        str(span.get("kind", "")),
        int(span["startTimeUnixNano"]) / 1e9,
        int(span["endTimeUnixNano"]) / 1e9,
        _attributes(span),
        tuple(Event(each["name"], int(each["timeUnixNano"]) / 1e9, _attributes(each)) for each in span.get("events", ())),
        span.get("status", {}).get("code") == "STATUS_CODE_ERROR",
    )


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    """Name → value; integers come as strings."""
    pairs = {each["key"]: next(iter(each["value"].items())) for each in holder.get("attributes", ())}
    return {name: int(value) if kind == "intValue" else value for name, (kind, value) in pairs.items()}


def _id_of_base64(text: str) -> str:
    return b64decode(text).hex()


@asynccontextmanager
async def collector() -> AsyncGenerator[Collector]:
    """A collector on two free ports, one after the other."""
    while True:
        collecting, server = Collector(), aio.server()
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collecting, server)
        collecting.port = server.add_insecure_port("127.0.0.1:0")
        try:
            http = await asyncio.start_server(collecting._answer, "127.0.0.1", collecting.port + 1)
        except OSError:  # taken
            await server.stop(None)
            continue
        break
    await server.start()
    try:
        async with http:
            yield collecting
    finally:
        await server.stop(None)
