"""EditService: one call is one edit."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, cast

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from grpc import aio

from retouch.geometry import Rect
from retouch.v1 import edit_service_pb2 as pb
from retouch.v1 import image_pb2
from retouch.wire import WireTile, from_proto, parse_request, tile_message, to_bytes
from retouch_server.errors import (
    BadField,
    BadSequence,
    DeadlineTooShort,
    DownloadStalled,
    StaleMask,
    UploadStalled,
)
from retouch_server.imaging.assembler import RowAssembler
from retouch_server.imaging.codec import encode_png
from retouch_server.imaging.proxy import ProxyBuilder
from retouch_server.imaging.rows import Band, Pixels
from retouch_server.pipeline.admission import Admission
from retouch_server.pipeline.edit import Editor, EditReport, PlannedEdit
from retouch_server.pipeline.request import MAX_PIXELS_WITHOUT_PROXY, EditRequest
from retouch_server.pipeline.stages.channel import RowChannel
from retouch_server.pipeline.stages.context import StageReport
from retouch_server.rpc import convert
from retouch_server.rpc.interceptors import client_name, first_cause
from retouch_server.rpc.masks import MaskResolver
from retouch_server.rpc.status import CANCELLED, OK, TABLE, UNKNOWN, Row, row_of
from retouch_server.telemetry.logging import edit_id
from retouch_server.telemetry.metrics import Metrics
from retouch_server.telemetry.tracing import annotate, event, exemplar

PAYLOAD_BYTES = 960 * 1024
"""Pixels in one output tile: the message around them stays under 1 MiB."""
UPLOAD_BANDS = 4
VANISHED_S = 0.05
"""A client that vanished looks like one that half-closed, until gRPC cancels the call a moment later."""

SERVICE = pb.DESCRIPTOR.services_by_name["EditService"].full_name
_Context = aio.ServicerContext[bytes, pb.EditResponse | bytes]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may pause, in seconds, before its edit is ended."""

    upload_s: float
    download_s: float


@dataclass(slots=True)
class _Upload:
    """The client's half of the stream: messages in order, each within the idle time."""

    messages: AsyncIterator[bytes]
    idle_s: float
    metrics: Metrics

    async def next(self, *, may_idle: bool = False) -> WireTile | pb.EditRequest | None:
        """The next message; None when the client has half-closed. Errors: UploadStalled, BadField."""
        try:
            async with asyncio.timeout(None if may_idle else self.idle_s):
                message = await anext(self.messages, None)
        except TimeoutError:
            raise UploadStalled(f"no message came for {self.idle_s:g} s; send tiles without long pauses") from None
        if message is None and not may_idle:
            await asyncio.sleep(VANISHED_S)  # where the client vanished, this ends in the cancellation
        if message is None:
            return None
        convert.check_message_size(len(message))
        self.metrics.received_bytes.inc(len(message))
        try:
            return parse_request(message)
        except DecodeError:
            raise BadField("message", "is no EditRequest; use the stubs made from protos/") from None

    async def open(self) -> pb.OpenEdit:
        """The first message. Errors: BadSequence when it is not `open`."""
        message = await self.next()
        if not isinstance(message, pb.EditRequest) or message.WhichOneof("message") != "open":
            what = "the stream ended" if message is None else f"{_name(message)} came"
            raise BadSequence("open", f"{what} first; the first message must be `open`")
        return message.open

    async def tile(self, *, may_idle: bool = False) -> WireTile | None:
        """The next tile; None at the end. Errors: BadSequence when something else comes."""
        message = await self.next(may_idle=may_idle)
        if message is None or isinstance(message, WireTile):
            return message
        if message.WhichOneof("message") != "tile":
            raise BadSequence("tile", f"{_name(message)} came; after `open` only tiles may follow")
        return from_proto(message.tile)


def _name(message: WireTile | pb.EditRequest) -> str:
    """What a message carries, in the words of the protocol."""
    return "tile" if isinstance(message, WireTile) else message.WhichOneof("message") or "an empty message"


@dataclass(slots=True)
class _Download:
    """The server's half: one message at a time, in order."""

    context: _Context
    idle_s: float
    metrics: Metrics
    began_s: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    has_tiles: bool = False

    async def send(self, response: pb.EditResponse | bytes) -> None:
        """Returns once the client's end takes it. Errors: DownloadStalled."""
        async with self.lock:
            try:
                async with asyncio.timeout(self.idle_s):
                    await self.context.write(response)
            except TimeoutError:
                raise DownloadStalled(f"nothing was read for {self.idle_s:g} s; read the result as it comes") from None

    async def send_band(self, band: Band, encoding: int) -> None:
        """Sends a band as full-width tiles, or pieces of single rows where a row is too much for a message."""
        rows, width, channels = band.pixels.shape
        step, columns = max(1, PAYLOAD_BYTES // (width * channels)), min(width, PAYLOAD_BYTES // channels)
        for first, left in product(range(0, rows, step), range(0, width, columns)):
            pixels = band.pixels[first : first + step, left : left + columns]
            rect = Rect(band.y + first, left, *pixels.shape[:2])
            if encoding == image_pb2.ENCODING_PNG:
                message = _png_message(rect, await asyncio.to_thread(encode_png, pixels))
            else:
                message = tile_message(rect, np.ascontiguousarray(pixels).data)
            await self.send(message)
            self.metrics.sent_bytes.inc(len(message))
            if not self.has_tiles:
                self.has_tiles = True
                event("first tile")
                self.metrics.first_tile_seconds.observe(time.monotonic() - self.began_s, exemplar())


def _png_message(rect: Rect, png: bytes) -> bytes:
    where = image_pb2.Rect(y=rect.y, x=rect.x, height=rect.height, width=rect.width)
    tile = image_pb2.Tile(rect=where, data=png, encoding=image_pb2.ENCODING_PNG)
    return pb.EditResponse(tile=tile).SerializeToString()


class EditServicer:
    """Converts, delegates to the editor, converts back."""

    def __init__(self, editor: Editor, admission: Admission, masks: MaskResolver, metrics: Metrics, patience: Patience) -> None:
        self._editor = editor
        self._admission = admission
        self._masks = masks
        self._metrics = metrics
        self._patience = patience
        for row in (*TABLE.values(), UNKNOWN):  # the first failure of a kind must be an increase, too
            _edits(metrics, _outcome(row), row)

    def add_to(self, server: aio.Server) -> None:
        """Serves `Edit`. Messages come and go as bytes, because the generated classes copy pixels three times each way."""
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
            self.edit, response_serializer=to_bytes
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Edit": handler}),))

    async def edit(self, messages: AsyncIterator[bytes], context: _Context) -> None:
        """The rpc."""
        edit_id.set(uuid.uuid4().hex)
        annotate(edit_id=edit_id.get())
        began_s = time.monotonic()
        outcome, row = "cancelled", CANCELLED
        try:
            await self._edit(messages, context, began_s)
            outcome, row = "done", OK
        except Exception as group:
            error = first_cause(group)
            if isinstance(error, aio.InternalError):  # a message could not be sent: the client is gone
                raise asyncio.CancelledError from error
            row = row_of(error)
            outcome = _outcome(row)
            if isinstance(error, StaleMask):
                self._metrics.stale_masks_refused.inc()
            raise
        finally:
            _edits(self._metrics, outcome, row).inc()
            self._metrics.edit_seconds.labels(outcome=outcome).observe(time.monotonic() - began_s, exemplar())

    async def _edit(self, messages: AsyncIterator[bytes], context: _Context, began_s: float) -> None:
        upload = _Upload(messages, self._patience.upload_s, self._metrics)
        download = _Download(context, self._patience.download_s, self._metrics, began_s)
        opened = await upload.open()
        header = convert.parse_header(opened.size, opened.pixel_format, opened.options)
        encoding = convert.parse_encoding("options.output_encoding", opened.options.output_encoding)
        async with self._admission.admit(header.pixels, client_name.get() or _host(context)):
            source = opened.mask if opened.HasField("mask") else None
            request = await self._masks.resolve(header, source)
            annotate(**_traits(request))
            assembler = RowAssembler(request.height, request.width, request.channels)
            early: list[Band] = []
            proxy = convert.parse_proxy(opened.proxy, request) if opened.HasField("proxy") else None
            if proxy is None and request.mask is not None and request.pixels <= MAX_PIXELS_WITHOUT_PROXY:
                early = [band async for band in _bands(upload, assembler)]
                proxy = _proxy_of(request, early)
            planned = await self._editor.plan(request, proxy)
            await self._masks.confirm(source)  # uploading and planning took a while
            remaining_s = cast(float | None, context.time_remaining())  # None without a deadline, whatever the stubs say
            if remaining_s is not None and planned.estimate.total_s > remaining_s:
                raise DeadlineTooShort(remaining_s, planned.estimate.total_s)
            await download.send(pb.EditResponse(accepted=_accepted(planned)))
            event("accepted")
            accepted_s = time.monotonic()
            report = await self._run(planned, upload, assembler, early, download, encoding)
            seconds = time.monotonic() - accepted_s
            self._metrics.estimate_ratio.observe(planned.estimate.total_s / seconds)
            await download.send(pb.EditResponse(done=convert.to_done(planned, report, seconds)))

    async def _run(
        self,
        planned: PlannedEdit,
        upload: _Upload,
        assembler: RowAssembler,
        early: list[Band],
        download: _Download,
        encoding: int,
    ) -> EditReport:
        """Upload, stages and download at once; the first to fail ends the others."""
        source, sink = RowChannel(UPLOAD_BANDS), RowChannel(1)
        progress: asyncio.Queue[StageReport | None] = asyncio.Queue()

        async def receive() -> None:
            while early:
                await source.put(early.pop(0))
            if not assembler.is_complete:
                async for band in _bands(upload, assembler):
                    await source.put(band)
            await source.close()
            while (tile := await upload.tile(may_idle=True)) is not None:  # the client should only half-close now
                assembler.check(convert.parse_rect(tile.rect))

        async def report_progress() -> None:
            while (report := await progress.get()) is not None:
                await download.send(pb.EditResponse(progress=convert.to_progress(report)))

        async def deliver() -> None:
            async for band in sink:
                await download.send_band(band, encoding)
                del band  # or it would be kept until the next one is there
            progress.put_nowait(None)

        async with asyncio.TaskGroup() as group:
            receiving = group.create_task(receive())
            reporting = group.create_task(report_progress())
            delivering = group.create_task(deliver())
            report = await self._editor.run(planned, source, sink, progress.put_nowait)
            await delivering
            await reporting
            receiving.cancel()  # everything was delivered: a client that has not half-closed is not waited for
        return report


def _outcome(row: Row) -> str:
    """What the metrics call an edit that ended with that error."""
    return "failed" if row.is_ours else "refused"


def _edits(metrics: Metrics, outcome: str, row: Row) -> Any:
    """The series that counts edits with that end."""
    return metrics.edits.labels(outcome=outcome, code=row.code.name, reason=row.reason)


async def _bands(upload: _Upload, assembler: RowAssembler) -> AsyncIterator[Band]:
    """Rows as they complete, until the image is whole. Errors: BadField, BadSequence, UploadStalled."""
    channels = assembler.channels
    while not assembler.is_complete:
        tile = await upload.tile()
        if tile is None:
            assembler.finish()
            return
        rect = convert.parse_rect(tile.rect)
        assembler.check(rect)  # before the pixels are decoded
        if tile.encoding == image_pb2.ENCODING_PNG:
            pixels = await asyncio.to_thread(convert.parse_tile_pixels, tile, channels)
        else:
            pixels = convert.parse_tile_pixels(tile, channels)
        for band in assembler.add(rect, pixels):
            yield band


def _host(context: _Context) -> str:
    """Where an unnamed client calls from, without its port: `ipv4:10.0.0.7`."""
    return str(context.peer()).rpartition(":")[0]


def _traits(request: EditRequest) -> dict[str, str | int]:
    """What a trace tells of an edit."""
    traits: dict[str, str | int] = {
        "height": request.height,
        "width": request.width,
        "scale": request.options.scale,
        "criticality": request.options.criticality.value,
    }
    if request.mask is not None:
        traits |= {"mask_digest": request.mask.digest, "mask_version": request.mask_version}
    return traits


def _proxy_of(request: EditRequest, bands: list[Band]) -> Pixels:
    builder = ProxyBuilder(request.height, request.width)
    for band in bands:
        builder.add(band.pixels)
    return builder.finish()


def _accepted(planned: PlannedEdit) -> pb.Accepted:
    mask = planned.request.mask
    return pb.Accepted(
        edit_id=edit_id.get(),
        findings=convert.to_findings(planned.findings, planned.plan),
        plan=convert.to_plan(planned),
        estimate=convert.to_estimate(planned),
        mask_digest=mask.digest if mask else "",
        mask_version=planned.request.mask_version,
    )
