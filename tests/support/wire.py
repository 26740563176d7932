"""EditService spoken by hand, message by message: what a client library would never send can be said here."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status
from numpy.typing import NDArray

from retouch.v1 import edit_service_pb2 as pb
from retouch.v1 import image_pb2
from retouch_server.imaging.codec import encode_png

Image = NDArray[np.uint8]
MIB = 1 << 20
TIMEOUT_S = 30.0
"""Of a call; nothing here comes near."""

FORMATS = {1: image_pb2.PIXEL_FORMAT_GRAY8, 3: image_pb2.PIXEL_FORMAT_RGB8, 4: image_pb2.PIXEL_FORMAT_RGBA8}


@dataclass
class Outcome:
    """How a call ended."""

    code: grpc.StatusCode
    message: str = ""
    responses: list[pb.EditResponse] = field(default_factory=list[pb.EditResponse])
    info: error_details_pb2.ErrorInfo = field(default_factory=error_details_pb2.ErrorInfo)
    violations: list[error_details_pb2.BadRequest.FieldViolation] = field(default_factory=list[Any])
    preconditions: list[error_details_pb2.PreconditionFailure.Violation] = field(default_factory=list[Any])
    retry_s: float | None = None

    @property
    def reason(self) -> str:
        return self.info.reason

    @property
    def done(self) -> pb.Done:
        return self.responses[-1].done

    @property
    def accepted(self) -> pb.Accepted:
        return self.responses[0].accepted

    def image(self) -> Image:
        """The result; checks the grammar on the way. Errors: AssertionError when the edit did not end well."""
        assert self.code is grpc.StatusCode.OK, (self.code, self.message)
        return joined(self.responses)


def outcome_of(error: aio.AioRpcError, responses: Sequence[pb.EditResponse] = ()) -> Outcome:
    """What a failed call said."""
    outcome = Outcome(error.code(), error.details() or "", list(responses))
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(outcome.info)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            outcome.violations += error_details_pb2.BadRequest.FromString(detail.value).field_violations
        elif detail.Is(error_details_pb2.PreconditionFailure.DESCRIPTOR):
            outcome.preconditions += error_details_pb2.PreconditionFailure.FromString(detail.value).violations
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            outcome.retry_s = delay.seconds + delay.nanos / 1e9
    return outcome


async def say(
    stub: Any,
    messages: Iterable[pb.EditRequest],
    *,
    half_closes: bool = True,
    timeout_s: float = TIMEOUT_S,
    metadata: Sequence[tuple[str, str]] = (),
) -> Outcome:
    """Sends `messages` and reads to the end. Errors: TimeoutError when the call hangs."""

    async def requests() -> AsyncIterator[pb.EditRequest]:
        for message in messages:
            yield message
        if not half_closes:
            await asyncio.Event().wait()

    responses: list[pb.EditResponse] = []
    async with asyncio.timeout(timeout_s + 10):
        call = stub.Edit(requests(), timeout=timeout_s, metadata=tuple(metadata))
        try:
            async for response in call:
                responses.append(response)  # noqa: PERF401 - what came before an error is wanted
        except aio.AioRpcError as error:
            return outcome_of(error, responses)
        return Outcome(await call.code(), "", responses)


def opened(
    height: int, width: int, channels: int = 3, *, mask: Image | None = None, proxy: Image | None = None, **options: Any
) -> pb.EditRequest:
    """`open`, with an inline mask and a proxy as PNG."""
    message = pb.OpenEdit(size=image_pb2.ImageSize(height=height, width=width), pixel_format=FORMATS[channels])
    message.options.MergeFrom(pb.OpenEdit(options=options).options)
    if mask is not None:
        message.mask.inline_png = encode_png(mask)
    if proxy is not None:
        message.proxy.data = encode_png(proxy)
    return pb.EditRequest(open=message)


def tile(image: Image, y: int = 0, x: int = 0, height: int | None = None, width: int | None = None) -> pb.EditRequest:
    """A raw tile cut from `image`; the rest of it when no size is given."""
    height = image.shape[0] - y if height is None else height
    width = image.shape[1] - x if width is None else width
    data = image[y : y + height, x : x + width].tobytes()
    return pb.EditRequest(tile=image_pb2.Tile(rect=image_pb2.Rect(y=y, x=x, height=height, width=width), data=data))


def strips(image: Image, payload_bytes: int = 640 * 1024) -> Iterator[pb.EditRequest]:
    """Full-width tiles, or pieces of rows where one row is too much."""
    height, width, channels = image.shape
    rows, columns = max(1, payload_bytes // (width * channels)), min(width, payload_bytes // channels)
    for y in range(0, height, rows):
        for x in range(0, width, columns):
            yield tile(image, y, x, min(rows, height - y), min(columns, width - x))


def edit_of(image: Image, *, mask: Image | None = None, proxy: Image | None = None, **options: Any) -> list[pb.EditRequest]:
    """All messages of a plain edit."""
    height, width, channels = image.shape
    return [opened(height, width, channels, mask=mask, proxy=proxy, **options), *strips(image)]


def joined(responses: Sequence[pb.EditResponse]) -> Image:
    """The result out of `accepted (tile | progress)* done`; tiles must partition it, top to bottom, left to right."""
    kinds = [response.WhichOneof("message") for response in responses]
    assert kinds[0] == "accepted", kinds[:3]
    assert kinds[-1] == "done", kinds[-3:]
    assert set(kinds[1:-1]) <= {"tile", "progress"}, set(kinds)
    assert max(response.ByteSize() for response in responses) <= MIB
    size = responses[0].accepted.plan.output_size
    tiles = [response.tile for response in responses if response.WhichOneof("message") == "tile"]
    channels = len(tiles[0].data) // (tiles[0].rect.height * tiles[0].rect.width)
    result = np.zeros((size.height, size.width, channels), np.uint8)
    y = x = 0
    for part in tiles:
        rect = part.rect
        assert (rect.y, rect.x) == (y, x), "tiles come top to bottom, left to right"
        pixels = np.frombuffer(part.data, np.uint8).reshape(rect.height, rect.width, channels)
        result[y : y + rect.height, x : x + rect.width] = pixels
        x += rect.width
        if x == size.width:
            y, x = y + rect.height, 0
    assert (y, x) == (size.height, 0), "tiles cover the result"
    return result


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Image:
    """Random pixels, none of which is text to the fake detector."""
    return np.random.default_rng(seed).integers(0, 250, (height, width, channels), np.uint8)


def soft_disc(height: int, width: int, seed: int = 0) -> Image:
    """A mask (height, width): a disc somewhere, soft at its edge."""
    draw = np.random.default_rng(seed)
    cy, cx = draw.uniform(0, height), draw.uniform(0, width)
    radius = min(height, width) * draw.uniform(0.1, 0.4)
    y, x = np.mgrid[:height, :width]
    return (np.clip((radius - np.hypot(y - cy, x - cx)) / 6 + 0.5, 0, 1) * 255).astype(np.uint8)


def digest_of(mask: Image) -> str:
    return hashlib.sha256(mask.tobytes()).hexdigest()
