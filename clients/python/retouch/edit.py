"""One edit: what is prepared before the call, the stream, and trying again."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import grpc
import numpy as np

from retouch import convert
from retouch.assembly import Coverage
from retouch.errors import CancelledByServerError, ErrorDetails, ProtocolError, RetouchError, ServiceError
from retouch.events import Accepted, Done, Event, Progress, TileReady, Uploaded
from retouch.mask import MaskLike, MaskReference, pack_mask
from retouch.masks import Masks
from retouch.options import EditOptions
from retouch.pixels import CHANNELS, Pixels, PixelSink, PixelSource
from retouch.png import decoded
from retouch.proxy import proxy_of
from retouch.retry import Retry
from retouch.stream import StreamEnded
from retouch.threads import in_executor
from retouch.transport import EditStream, Rpc, translated_errors
from retouch.upload import TILE_BYTES, upload
from retouch.v1 import edit_service_pb2 as edit_pb
from retouch.v1 import image_pb2
from retouch.wire import WireTile, from_proto

T = TypeVar("T")
MAX_OPEN_BYTES = (1 << 20) - (16 << 10)  # proxy and inline mask share one message, with room for the rest of it
FEW_BYTES = 2 * TILE_BYTES  # so little is sent at once: waiting would cost more than a refusal


@dataclass(frozen=True, slots=True)
class EditJob(Generic[T]):
    """What an edit was asked to do. `open_image` and `make_sink` run in a thread."""

    open_image: Callable[[], PixelSource]
    make_sink: Callable[[PixelSource], PixelSink[T]]
    mask: MaskLike | None
    options: EditOptions
    timeout_s: float | None
    with_proxy: bool

    @property
    def is_judged(self) -> bool:
        """Whether the service looks at a proxy: at what is masked, and at text that is to go unmasked."""
        return self.mask is not None or self.options.text_removal == "always"


@dataclass(slots=True)
class _Prepared:
    """A job ready to be sent, as often as needed."""

    source: PixelSource
    open: edit_pb.OpenEdit
    mask_digest: str  # empty: unknown, or no mask
    warnings: list[str]


@dataclass(slots=True)
class _Attempt:
    """How far one stream is."""

    accepted: asyncio.Event = field(default_factory=asyncio.Event)
    edit_id: str = ""
    rows_sent: int = 0
    rows_told: int = 0
    has_yielded_tile: bool = False
    done: Done | None = None


class EditCall(Generic[T]):
    """An edit that runs while it is iterated or awaited; nothing happens before.

        call = client.edit(image, mask, scale=2)
        async for event in call:        # optional
            ...
        result = await call.result()    # or `await call`; the same kind as `image`
        call.report.seam_score

    Iterate once. When `result` alone drives the edit, it is made again after a passing failure (see `Retry`); when you iterate,
    only while no tile was handed to you. A slow consumer slows the server down: nothing is read ahead of it. A loop that may be
    left early, by `break`, an error or a cancellation, needs `async with call:` around it, which cancels the edit at once.
    """

    def __init__(self, rpc: Rpc, retry: Retry, job: EditJob[T]) -> None:
        self._rpc = rpc
        self._retry = retry
        self._job = job
        self._events: AsyncGenerator[Event, None] | None = None
        self._result: T | None = None
        self._report: Done | None = None

    @property
    def report(self) -> Done:
        """The server's report. Raises RuntimeError before the edit is complete."""
        if self._report is None:
            raise RuntimeError("the edit is not complete; await result() first")
        return self._report

    def __aiter__(self) -> AsyncGenerator[Event, None]:
        if self._events is not None:
            raise RuntimeError("an edit can be iterated only once; make another call")
        self._events = self._run(is_consumed=True)
        return self._events

    async def result(self) -> T:
        """The complete result; drives the edit, or what an iteration left of it, to its end."""
        if self._events is None:
            self._events = self._run(is_consumed=False)
        async for _ in self._events:
            pass
        if self._report is None:
            raise RuntimeError("the edit failed or was cancelled; make another call")
        return self._result  # type: ignore[return-value]  # set together with the report

    def __await__(self) -> Generator[Any, None, T]:
        return self.result().__await__()

    async def aclose(self) -> None:
        """Cancels what still runs and waits until it is gone. Idempotent."""
        if self._events is not None:
            await self._events.aclose()

    async def __aenter__(self) -> "EditCall[T]":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    # Events come from async generators, in which a TaskGroup must not span a yield: it would cancel the consumer's own code
    # (PEP 789). So the one task there is, the upload, is joined by hand in `_stream`.
    async def _run(self, is_consumed: bool) -> AsyncGenerator[Event, None]:
        deadline = self._retry.deadline(self._job.timeout_s)
        async with contextlib.AsyncExitStack() as stack:
            executor = ThreadPoolExecutor(1, "retouch")
            stack.callback(executor.shutdown, wait=False)
            source = await in_executor(executor, self._job.open_image)
            stack.callback(source.close)
            prepared = await self._prepare(source, executor, deadline.remaining_s())
            sink = await in_executor(executor, lambda: self._job.make_sink(source))
            stack.callback(sink.discard)
            failures = 0
            while True:
                attempt = _Attempt()
                try:
                    stream = self._rpc.edit(deadline.remaining_s())
                    async with contextlib.aclosing(self._stream(stream, attempt, prepared, sink, executor)) as events:
                        async for event in events:
                            attempt.has_yielded_tile |= is_consumed and isinstance(event, TileReady)
                            if not isinstance(event, Done):
                                yield event
                    break
                except ServiceError as error:
                    if attempt.has_yielded_tile:
                        raise
                    await self._retry.pause(failures, error, deadline)
                    failures += 1
            assert attempt.done is not None
            self._result = await in_executor(executor, sink.finish, on_cancel=sink.discard)
            self._report = attempt.done
            yield attempt.done

    async def _prepare(self, source: PixelSource, executor: ThreadPoolExecutor, timeout_s: float | None) -> _Prepared:
        message = edit_pb.OpenEdit(
            size=convert.to_size(source.size),
            pixel_format=convert.to_pixel_format(source.pixel_format),
            options=convert.to_options(self._job.options),
        )
        if self._job.with_proxy and self._job.is_judged:
            message.proxy.data = await in_executor(executor, lambda: proxy_of(source))
        warnings = list(source.warnings)
        digest = ""
        if isinstance(self._job.mask, MaskReference):
            message.mask.CopyFrom(convert.to_reference(self._job.mask))
            digest = self._job.mask.digest
        elif self._job.mask is not None:
            picture = self._job.mask
            mask = await in_executor(executor, lambda: pack_mask(picture, source))
            warnings += mask.warnings
            room_bytes = MAX_OPEN_BYTES - len(message.proxy.data)
            message.mask.CopyFrom(await Masks(self._rpc, self._retry).source_of(mask, room_bytes, timeout_s))
            digest = mask.digest
        return _Prepared(source, message, digest, warnings)

    async def _stream(
        self,
        stream: EditStream,
        attempt: _Attempt,
        prepared: _Prepared,
        sink: PixelSink[T],
        executor: ThreadPoolExecutor,
    ) -> AsyncGenerator[Event, None]:
        """One attempt: reads here, writes in a task beside it. Whatever happens, both and the call are over afterwards."""
        sending = asyncio.create_task(_send(stream, attempt, prepared, executor))
        try:
            output = prepared.source.size.scaled(self._job.options.scale)
            coverage = Coverage(output)
            channels = CHANNELS[prepared.source.pixel_format]
            while (message := await _read(stream, sending)) is not None:
                if attempt.done is not None:
                    raise ProtocolError("the server sent a message after `done`")
                event = _event(message, attempt, prepared, channels)
                if isinstance(event, Accepted):
                    if event.plan.output_size != output:
                        raise ProtocolError(f"the server plans a result of {event.plan.output_size}; {output} was asked")
                    await in_executor(executor, lambda: sink.begin(output))
                    attempt.accepted.set()
                elif isinstance(event, TileReady):
                    coverage.add(event.rect)
                    if sink.is_blocking:
                        await in_executor(executor, partial(sink.write, event.rect, event.pixels))
                    else:
                        sink.write(event.rect, event.pixels)
                if attempt.rows_sent > attempt.rows_told:
                    attempt.rows_told = attempt.rows_sent
                    yield Uploaded(attempt.rows_sent, prepared.source.size.height)
                yield event
            if attempt.done is None:
                raise ProtocolError("the server ended the stream without `done`")
            coverage.finish()
            await sending
        finally:
            stream.cancel()
            sending.cancel()
            await asyncio.wait([sending])


async def _send(stream: EditStream, attempt: _Attempt, prepared: _Prepared, executor: ThreadPoolExecutor) -> None:
    """Opens, waits for `accepted` where that can come before the pixels and is worth it, uploads. An error of our own cancels
    the call, so that the reader wakes up; an error of the call is left to the reader, who gets its status."""
    try:
        await stream.write(edit_pb.EditRequest(open=prepared.open).SerializeToString())
        size = prepared.source.size
        is_small = size.height * size.width * CHANNELS[prepared.source.pixel_format] <= FEW_BYTES
        needs_pixels = prepared.open.HasField("mask") and not prepared.open.HasField("proxy")
        if not needs_pixels and not is_small:
            await attempt.accepted.wait()

        def sent(rows: int) -> None:
            attempt.rows_sent = rows

        await upload(stream, prepared.source, executor, sent)
    except StreamEnded:
        return
    except Exception:
        stream.cancel()
        raise


async def _read(stream: EditStream, sending: "asyncio.Task[None]") -> WireTile | edit_pb.EditResponse | None:
    """The next message; None at the end. Raises what ended the call: its status, or what stopped the upload."""
    try:
        with translated_errors():
            return await stream.read()
    except (asyncio.CancelledError, RetouchError) as raised:
        if sending.done() and not sending.cancelled() and (error := sending.exception()) is not None:
            raise error from None
        task = asyncio.current_task()
        if isinstance(raised, asyncio.CancelledError) and task is not None and not task.cancelling():
            # grpc.aio raises this for a CANCELLED status too; nobody here asked for it.
            details = ErrorDetails(grpc.StatusCode.CANCELLED)
            raise CancelledByServerError("the call was cancelled on its way", details) from None
        raise


def _event(
    message: "WireTile | edit_pb.EditResponse", attempt: _Attempt, prepared: _Prepared, channels: int
) -> Accepted | TileReady | Progress | Done:
    """The event in a message; keeps to the grammar `accepted (tile | progress)* done`."""
    if not isinstance(message, WireTile):
        kind = message.WhichOneof("message")
        if (kind == "accepted") == attempt.accepted.is_set():
            raise ProtocolError(
                f"the server sent {kind or 'an empty message'} {'again' if kind == 'accepted' else 'before accepted'}"
            )
        if kind == "accepted":
            accepted = convert.from_accepted(message.accepted)
            attempt.edit_id = accepted.edit_id
            if prepared.mask_digest and accepted.mask_digest != prepared.mask_digest:
                raise ProtocolError(f"the server uses mask {accepted.mask_digest or 'none'}; {prepared.mask_digest} was sent")
            return accepted
        if kind == "progress":
            return convert.from_progress(message.progress)
        if kind == "done":
            attempt.done = convert.from_done(message.done, attempt.edit_id, prepared.warnings)
            return attempt.done
        if kind != "tile":
            raise ProtocolError("the server sent an empty message")
        message = from_proto(message.tile)
    if not attempt.accepted.is_set():
        raise ProtocolError("the server sent a tile before accepted")
    return TileReady(message.rect, _pixels(message, channels))


def _pixels(tile: WireTile, channels: int) -> Pixels:
    shape = (tile.rect.height, tile.rect.width, channels)
    if tile.encoding == image_pb2.ENCODING_PNG:
        try:
            pixels = decoded(tile.data)
        except ValueError as error:
            raise ProtocolError(f"the server sent a tile that cannot be decoded: {error}") from error
        if pixels.shape != shape:
            raise ProtocolError(f"the server sent a PNG of shape {pixels.shape} for a tile of shape {shape}")
        return pixels
    if tile.encoding not in (image_pb2.ENCODING_UNSPECIFIED, image_pb2.ENCODING_RAW):
        raise ProtocolError(f"the server sent a tile in encoding {tile.encoding}, which is neither RAW nor PNG")
    if tile.data.nbytes != shape[0] * shape[1] * channels:
        raise ProtocolError(f"the server sent {tile.data.nbytes} bytes for a tile of shape {shape}")
    return np.frombuffer(tile.data, np.uint8).reshape(shape)
