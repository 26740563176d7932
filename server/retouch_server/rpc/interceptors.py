"""What holds for every method: errors become statuses, callers are known."""

import asyncio
import contextlib
import hmac
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

import grpc
from grpc import aio

from retouch_server.errors import Unauthenticated
from retouch_server.rpc.status import OK, row_of, to_status
from retouch_server.telemetry.logging import edit_id
from retouch_server.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

client_name: ContextVar[str] = ContextVar("client_name", default="")
"""Who calls: the name that goes with the bearer token; empty where none is asked for."""

_QUIETEN_S = 1.0
_QUIET_S = 0.05

_OPEN_TO_ALL = ("/grpc.health.v1.Health/", "/grpc.reflection.")

_Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class ErrorInterceptor(aio.ServerInterceptor):
    """Ends a call whose handler raises with the status of the error; what is not ours is logged and told as INTERNAL."""

    async def intercept_service(self, continuation: _Continuation, handler_call_details: grpc.HandlerCallDetails) -> Any:
        handler = await continuation(handler_call_details)
        return None if handler is None else _wrap(handler, _guard_call, _guard_stream)


class TokenInterceptor(aio.ServerInterceptor):
    """Admits callers whose `authorization: Bearer …` is among `tokens` (token → client's name).

    Health and reflection are open to all.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = dict(tokens)

    async def intercept_service(self, continuation: _Continuation, handler_call_details: grpc.HandlerCallDetails) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or str(handler_call_details.method).startswith(_OPEN_TO_ALL):
            return handler
        name = self._name(handler_call_details)

        def check() -> None:
            if name is None:
                raise Unauthenticated("a valid bearer token is needed: send metadata 'authorization: Bearer <token>'")
            client_name.set(name)

        async def call(method: Any, request: Any, context: Any) -> Any:
            check()
            return await method(request, context)

        async def stream(method: Any, request: Any, context: Any) -> AsyncIterator[Any]:
            check()
            async for response in method(request, context):
                yield response

        return _wrap(handler, call, stream)

    def _name(self, details: grpc.HandlerCallDetails) -> str | None:
        given = next((str(value) for key, value in _metadata(details) if key == "authorization"), "")
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer":
            return None
        found = None
        for known, name in self._tokens.items():
            if hmac.compare_digest(known.encode(), token.strip().encode()):
                found = name
        return found


class TraceInterceptor(aio.ServerInterceptor):
    """Gives each call a span, a child of the caller's where the metadata name one. Health and reflection get none.

    Ours and not OpenTelemetry's: that one takes every handler of a stream for a generator, and Edit's writes for itself.
    """

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    async def intercept_service(self, continuation: _Continuation, handler_call_details: grpc.HandlerCallDetails) -> Any:
        handler = await continuation(handler_call_details)
        name = str(handler_call_details.method)
        if handler is None or name.startswith(_OPEN_TO_ALL):
            return handler
        metadata = {key: value for key, value in _metadata(handler_call_details) if isinstance(value, str)}

        async def call(method: Any, request: Any, context: Any) -> Any:
            with self._span(name, metadata):
                return await method(request, context)

        async def stream(method: Any, request: Any, context: Any) -> AsyncIterator[Any]:
            with self._span(name, metadata):
                async for response in method(request, context):
                    yield response

        return _wrap(handler, call, stream)

    @contextlib.contextmanager
    def _span(self, name: str, metadata: Mapping[str, str]) -> Generator[None]:
        span, row = self._tracing.begin(name.lstrip("/"), metadata), OK
        try:
            yield
        except BaseException as error:
            row = row_of(first_cause(error))
            raise
        finally:
            span.end(row.code.name, is_fault=row.is_ours)


async def _guard_call(method: Any, request: Any, context: Any) -> Any:
    try:
        return await method(request, context)
    except Exception as error:
        if isinstance(request, AsyncIterator):
            await _quieten(cast(AsyncIterator[object], request))
        await _abort(error, context)


async def _quieten(requests: AsyncIterator[object]) -> None:
    """Lets a client that is still sending come to a pause before it is refused.

    A grpc.aio client whose write meets the end of the call reports INTERNAL, "Internal error from Core", in place of the
    status that it was sent (grpc/grpc#36066).
    """
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_QUIETEN_S):
            while True:
                async with asyncio.timeout(_QUIET_S):
                    await anext(requests)


def _metadata(details: grpc.HandlerCallDetails) -> Any:
    """The caller's, as pairs."""
    return details.invocation_metadata or ()


async def _guard_stream(method: Any, request: Any, context: Any) -> AsyncIterator[Any]:
    try:
        async for response in method(request, context):
            yield response
    except Exception as error:
        await _abort(error, context)


async def _abort(error: Exception, context: Any) -> None:
    if isinstance(error, (aio.AbortError, aio.UsageError)):
        raise error
    cause = first_cause(error)
    status = to_status(cause, edit_id=edit_id.get())
    if status.code == grpc.StatusCode.INTERNAL:
        log.error("%s", cause, exc_info=cause)
    else:
        log.info("refused: %s", cause)
    await context.abort_with_status(status)


def first_cause(error: BaseException) -> BaseException:
    """What a task group failed with: its first error."""
    while isinstance(error, BaseExceptionGroup):
        error = cast(BaseExceptionGroup[BaseException], error).exceptions[0]
    return error


def _wrap(handler: Any, call: Any, stream: Any) -> Any:
    """The same handler with its method run through `call` (it returns a response) or `stream` (it yields responses)."""
    for kind, make in (
        ("unary_unary", grpc.unary_unary_rpc_method_handler),
        ("unary_stream", grpc.unary_stream_rpc_method_handler),
        ("stream_unary", grpc.stream_unary_rpc_method_handler),
        ("stream_stream", grpc.stream_stream_rpc_method_handler),
    ):
        method = getattr(handler, kind)
        if method is not None:
            through = partial(stream if inspect.isasyncgenfunction(method) else call, method)
            return make(through, handler.request_deserializer, handler.response_serializer)
    return handler
