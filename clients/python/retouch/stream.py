"""Calls that stream requests, with the server's status kept from being lost.

When a server ends a call while the client still writes, grpc.aio answers the failed write by overwriting the call's status with
INTERNAL "Internal error from Core" (grpc/grpc#36066, open; measured: one refusal of an upload in five). A refusal would then
look like a fault. So messages after the first are handed to the call below `write`, where a failed write is only that, and
should a status be overwritten all the same, the real one is noted when it comes.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

import grpc

T = TypeVar("T")
OVERWRITTEN = "Internal error from Core"
STATUS_WAIT_S = 1.0  # a failed write may be seen a moment before the status that explains it


class StreamEnded(Exception):  # noqa: N818 - no fault: the status, which the reader gets, says what happened
    """The call is over; nothing can be written any more."""


class RequestStream(Generic[T]):
    """A call of grpc.aio whose requests are written one by one; T is what `read` or `response` give."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._status: grpc.aio.AioRpcError | None = None
        self._has_status = asyncio.Event()
        self._is_open = False  # a message was written, and so the metadata
        call.add_done_callback(self._note_status)

    async def write(self, message: bytes) -> None:
        """Sends a serialised message, and waits while the flow control window is full. Raises StreamEnded."""
        core = getattr(self._call, "_cython_call", None) if self._is_open else None
        try:
            await (core.send_serialized_message(message) if core is not None else self._call.write(message))
            self._is_open = True
        except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError) as error:
            raise StreamEnded from error

    async def done_writing(self) -> None:
        """Half-closes; nothing is written afterwards. Raises StreamEnded."""
        try:
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError) as error:
            raise StreamEnded from error

    async def read(self) -> T | None:
        """The next message; None at the end. Raises AioRpcError with the server's status."""
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise await self._true_status(error) from None
        return None if message is grpc.aio.EOF else message

    async def response(self) -> T:
        """The only response. Raises AioRpcError with the server's status."""
        try:
            return await self._call
        except grpc.aio.AioRpcError as error:
            raise await self._true_status(error) from None

    def cancel(self) -> None:
        """Ends the call. Idempotent."""
        self._call.cancel()

    def _note_status(self, call: Any) -> None:
        code, details = _now(call.code()), _now(call.details())
        if code is None or details == OVERWRITTEN or self._has_status.is_set():
            return
        trailing = _now(call.trailing_metadata()) or grpc.aio.Metadata()
        self._status = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details)
        self._has_status.set()

    async def _true_status(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        if error.details() != OVERWRITTEN:
            return error
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STATUS_WAIT_S):
                await self._has_status.wait()
        return self._status or error


def _now(answer: Coroutine[Any, Any, T]) -> T | None:
    """What a coroutine returns at once; None where it would wait. A call's status is there when its callbacks run."""
    try:
        answer.send(None)
    except StopIteration as stop:
        return stop.value
    answer.close()
    return None
