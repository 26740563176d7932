"""Traces: what a call did, and when, as OpenTelemetry spans. The only module that imports opentelemetry.

    tracing = Tracing("http://collector:4317", ratio=0.05, version="1.0")       app.py
    call = tracing.begin("retouch.v1.EditService/Edit", metadata)               rpc/: a child of the caller's span
    with span("plan"):                                                          whatever the call does, in its tasks too
        annotate(stages=3)
    call.end("OK", is_fault=False)

Outside of a call that is sampled, `span`, `annotate` and `event` make nothing; they cost a look at a context variable.
"""

import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_P = ParamSpec("_P")
_T = TypeVar("_T")
Attribute = str | bool | int | float

EXPORT_S = 5.0
"""How long one batch of spans may take to reach the collector, with its retries."""
FLUSH_S = 5.0
"""How long `close` waits for the last spans to be sent."""

_W3C = TraceContextTextMapPropagator()  # https://www.w3.org/TR/trace-context/
_NOTHING: AbstractContextManager[object] = nullcontext()
_tracer: ContextVar[trace.Tracer | None] = ContextVar("tracer", default=None)
"""Makes the spans of the sampled call that is being served; None anywhere else. Tasks inherit it."""


class Tracing:
    """Samples calls and sends their spans to a collector, in batches, from a thread of its own.

    The queue to that thread is bounded (OTEL_BSP_MAX_QUEUE_SIZE, 2048): with the collector away, spans are lost, never an edit.
    """

    def __init__(self, endpoint: str, ratio: float, version: str) -> None:
        """endpoint: of OTLP over gRPC, `http://host:4317`, or https. ratio: of the traces that begin here, 0 to 1; those of a
        caller are sampled as the caller decided. Further settings, such as headers and certificates, are OpenTelemetry's own
        variables (OTEL_EXPORTER_OTLP_HEADERS, OTEL_RESOURCE_ATTRIBUTES).

        Errors: ModuleNotFoundError without the extra `tracing`.
        """
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        ours = Resource.create({"service.name": "retouch-server", "service.version": version})
        self._provider = TracerProvider(
            ParentBased(TraceIdRatioBased(ratio)),
            ours.merge(OTELResourceDetector().detect()),  # what the environment says goes before
            shutdown_on_exit=False,
        )
        self._exporter = OTLPSpanExporter(endpoint, timeout=EXPORT_S)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("retouch_server", version)

    def begin(self, method: str, metadata: Mapping[str, str]) -> "CallSpan":
        """The span of a call that is served, until its `end`; parent of what this task, and those it starts, do from here on.

        method: `package.Service/Method`. metadata: the caller's; its `traceparent` says whose child the span is.
        """
        parent = _W3C.extract(metadata, context.Context())
        attributes = {"rpc.system.name": "grpc", "rpc.method": method}
        begun = self._tracer.start_span(method, parent, trace.SpanKind.SERVER, attributes)
        context.attach(trace.set_span_in_context(begun))
        _tracer.set(self._tracer if begun.is_recording() else None)
        return CallSpan(begun)

    def close(self) -> None:
        """Sends what is left, within `FLUSH_S`; what takes longer is given up. Blocks."""
        flushing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        flushing.start()
        flushing.join(FLUSH_S)
        if flushing.is_alive():
            # Ends the export that hangs; those after it then end at once.
            self._exporter.shutdown()  # pyright: ignore[reportUnknownMemberType]
            flushing.join(1.0)


class CallSpan:
    """The span of a call, made by `Tracing.begin`."""

    def __init__(self, begun: trace.Span) -> None:
        self._span = begun

    def end(self, code: str, *, is_fault: bool) -> None:
        """Ends it with the name of the status code; a fault is ours, not the caller's."""
        self._span.set_attribute("rpc.response.status_code", code)
        if is_fault:
            self._span.set_status(trace.StatusCode.ERROR, code)
        self._span.end()


def span(name: str, **attributes: Attribute) -> AbstractContextManager[object]:
    """A span around a block of the call that is served. Attributes get the prefix `retouch.`; an error shows in its status.

    name: of few values.
    """
    tracer = _tracer.get()
    if tracer is None:
        return _NOTHING
    return tracer.start_as_current_span(name, attributes=_prefixed(attributes), record_exception=False)


def traced(name: str) -> Callable[[Callable[_P, Coroutine[Any, Any, _T]]], Callable[_P, Coroutine[Any, Any, _T]]]:
    """A coroutine function that always runs in a span of its own."""

    def decorate(function: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
        @wraps(function)
        async def within(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            with span(name):
                return await function(*args, **kwargs)

        return within

    return decorate


def annotate(**attributes: Attribute) -> None:
    """Puts attributes on the current span, with the prefix `retouch.`."""
    if _tracer.get() is not None:
        trace.get_current_span().set_attributes(_prefixed(attributes))


def event(name: str, **attributes: Attribute) -> None:
    """Notes on the current span that something happened now. Attributes get the prefix `retouch.`."""
    if _tracer.get() is not None:
        trace.get_current_span().add_event(name, _prefixed(attributes))


def headers() -> dict[str, str]:
    """Metadata that makes the spans of a service that is called children of the current one; none for calls not sampled.

    Those are not told of at all, because Triton traces whatever names a trace, sampled or not (measured: 2.51).
    """
    carrier: dict[str, str] = {}
    if _tracer.get() is not None:
        _W3C.inject(carrier)
    return carrier


def exemplar() -> dict[str, str] | None:
    """The trace that a histogram's bucket can point to as an example; None where there is none to look at."""
    return None if _tracer.get() is None else {"trace_id": trace_id()}


def trace_id() -> str:
    """Of the call that is served, sampled or not, 32 hexadecimal digits; empty where none is traced."""
    current = trace.get_current_span().get_span_context()
    return trace.format_trace_id(current.trace_id) if current.is_valid else ""


def _prefixed(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    return {f"retouch.{name}": value for name, value in attributes.items()}
