"""MaskService: convert, delegate, convert. Raises RetouchError; the interceptor makes statuses of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from tempfile import SpooledTemporaryFile
from typing import IO, Any, TypeVar, cast

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

from retouch.v1 import image_pb2, mask_service_pb2, mask_service_pb2_grpc
from retouch_server.errors import BadField, BadSequence, InvalidRequest, Overloaded, UploadStalled, VersionConflict
from retouch_server.imaging.codec import decode_proxy, encode_png
from retouch_server.imaging.mask import Mask
from retouch_server.masks.registry import MaskRegistry, StoredMask, parse_image_id
from retouch_server.masks.suggest import Suggestion, suggest
from retouch_server.rpc.convert import check_message_size
from retouch_server.telemetry.metrics import Metrics

Detect = Callable[[NDArray[np.uint8]], Awaitable[NDArray[np.uint8]]]
"""RGB (height, width, 3) uint8 → how likely text is, (height, width) uint8, 255 for certain."""

_T = TypeVar("_T")

MAX_PNG_BYTES = 64 * 1024 * 1024
CHUNK_BYTES = 640 * 1024
MAX_PAGE = 100
STALL_S = 30.0
_IN_MEMORY_BYTES = 1024 * 1024  # of an upload under way; more of it waits on disk
_WRITES_AT_ONCE = 4  # each holds a whole PNG
UPLOADS_AT_ONCE = 32  # on disk, 2 GiB at most; what has more to take is told to come back
_RETRY_AFTER_S = 1.0


class MaskService(mask_service_pb2_grpc.MaskServiceServicer):
    """Serves a MaskRegistry. Pixels are decoded on the executor, never on the event loop."""

    def __init__(
        self, registry: MaskRegistry, executor: Executor, detect: Detect, metrics: Metrics, *, stall_s: float = STALL_S
    ) -> None:
        """`detect` may raise any RetouchError; `stall_s` is the longest silence within an upload."""
        self._registry, self._executor, self._detect, self._metrics = registry, executor, detect, metrics
        self._stall_s = stall_s
        self._writes = asyncio.Semaphore(_WRITES_AT_ONCE)
        self._uploads = 0

    async def PutMask(  # noqa: N802 - the name in the proto
        self, request_iterator: AsyncIterator[mask_service_pb2.PutMaskRequest], context: Any
    ) -> mask_service_pb2.PutMaskResponse:
        if self._uploads >= UPLOADS_AT_ONCE:
            raise Overloaded(f"{self._uploads} masks are being uploaded already; try again", _RETRY_AFTER_S)
        self._uploads += 1
        try:
            stored, is_new = await self._put(request_iterator)
        except VersionConflict:
            self._count("conflict")
            raise
        except (InvalidRequest, UploadStalled):
            self._count("refused")
            raise
        finally:
            self._uploads -= 1
        self._count("created" if is_new else "unchanged")
        return mask_service_pb2.PutMaskResponse(version=_to_version(stored), created=is_new)

    async def GetMask(  # noqa: N802
        self, request: mask_service_pb2.GetMaskRequest, context: Any
    ) -> AsyncIterator[mask_service_pb2.GetMaskResponse]:
        stored, png = await self._registry.get(parse_image_id(request.image_id), request.version)
        yield mask_service_pb2.GetMaskResponse(version=_to_version(stored))
        for at in range(0, len(png), CHUNK_BYTES):
            chunk = png[at : at + CHUNK_BYTES]
            yield mask_service_pb2.GetMaskResponse(chunk=chunk)
            self._metrics.sent_bytes.inc(len(chunk))

    async def ListMaskVersions(  # noqa: N802
        self, request: mask_service_pb2.ListMaskVersionsRequest, context: Any
    ) -> mask_service_pb2.ListMaskVersionsResponse:
        limit = min(request.page_size or MAX_PAGE, MAX_PAGE)
        versions = await self._registry.versions(parse_image_id(request.image_id), request.before_version, limit)
        return mask_service_pb2.ListMaskVersionsResponse(versions=map(_to_version, versions))

    async def SuggestMask(  # noqa: N802
        self, request: mask_service_pb2.SuggestMaskRequest, context: Any
    ) -> mask_service_pb2.SuggestMaskResponse:
        if not request.HasField("proxy"):
            raise BadField("proxy", "is missing; send the picture, shrunk to at most 1024 px")
        self._metrics.received_bytes.inc(len(request.proxy.data))
        picture = await self._off_the_loop(decode_proxy, request.proxy.data)
        found, png = await self._off_the_loop(_suggest_png, await self._detect(picture))
        self._metrics.sent_bytes.inc(len(png))
        return mask_service_pb2.SuggestMaskResponse(
            mask_png=png,
            size=_to_size(*found.mask.shape),
            boxes=[image_pb2.Rect(y=b.y, x=b.x, height=b.height, width=b.width) for b in found.boxes],
        )

    async def _put(self, requests: AsyncIterator[mask_service_pb2.PutMaskRequest]) -> tuple[StoredMask, bool]:
        first = await self._next(requests)
        if first is None or first.WhichOneof("message") != "open":
            raise BadSequence("message", "the first message must be `open`")
        image_id, expected_version = parse_image_id(first.open.image_id, "open.image_id"), first.open.expected_version
        with SpooledTemporaryFile[bytes](_IN_MEMORY_BYTES) as spool:
            await self._receive(requests, cast(IO[bytes], spool))
            async with self._writes:
                png, mask = await self._off_the_loop(_decode, spool)
                return await self._registry.put(image_id, png, mask, expected_version)

    async def _receive(self, requests: AsyncIterator[mask_service_pb2.PutMaskRequest], spool: IO[bytes]) -> None:
        total = 0
        while (request := await self._next(requests)) is not None:
            if request.WhichOneof("message") != "chunk":
                raise BadSequence("message", "after `open` only `chunk` may come, once or more")
            total += len(request.chunk)
            if total > MAX_PNG_BYTES:
                raise BadField("chunk", f"the PNG has more than {MAX_PNG_BYTES:,} bytes; compress it better")
            self._metrics.received_bytes.inc(len(request.chunk))
            spool.write(request.chunk)  # at most 1 MiB, into memory or the page cache
        if not total:
            raise BadSequence("message", "the stream ended without a `chunk`; send the PNG after `open`")

    async def _next(self, requests: AsyncIterator[mask_service_pb2.PutMaskRequest]) -> mask_service_pb2.PutMaskRequest | None:
        """The next message; None at the end of the stream."""
        try:
            async with asyncio.timeout(self._stall_s):
                message = await anext(requests, None)
        except TimeoutError:
            raise UploadStalled(f"no part of the mask came for {self._stall_s:g} s; send it without pauses") from None
        if message is not None:
            check_message_size(message.ByteSize())
        return message

    async def _off_the_loop(self, work: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *args)

    def _count(self, outcome: str) -> None:
        self._metrics.mask_writes.labels(outcome=outcome).inc()


def _decode(spool: IO[bytes]) -> tuple[bytes, Mask]:
    spool.seek(0)
    png = spool.read()
    return png, Mask.from_png(png, "chunk")


def _suggest_png(probability: NDArray[np.uint8]) -> tuple[Suggestion, bytes]:
    found = suggest(probability)
    return found, encode_png(found.mask)


def _to_version(stored: StoredMask) -> mask_service_pb2.MaskVersion:
    created = Timestamp()
    created.FromDatetime(stored.created)
    return mask_service_pb2.MaskVersion(
        image_id=stored.image_id,
        version=stored.version,
        digest=stored.digest,
        size=_to_size(stored.height, stored.width),
        created=created,
    )


def _to_size(height: int, width: int) -> image_pb2.ImageSize:
    return image_pb2.ImageSize(height=height, width=width)
