"""Which mask an edit uses: inline, or stored and pinned."""

import asyncio
import re
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

from retouch.v1 import image_pb2
from retouch_server.cache.lru import Lru
from retouch_server.errors import BadField, MaskNotFound
from retouch_server.imaging.mask import Mask
from retouch_server.imaging.png import parse_gray_header
from retouch_server.masks.registry import MaskRegistry, StoredMask, parse_image_id
from retouch_server.pipeline.request import EditRequest
from retouch_server.telemetry.tracing import traced

MAX_INLINE_BYTES = 768 * 1024
DECODED_BYTES = 48 * 1024 * 1024
"""Of stored masks that were decoded, for the next look at the same one: 4096² px take 0.1 s to decode, 16384² px 2 s."""
_INFLATED_BYTES = 4 * 1024 * 1024  # what a Mask may hold beside its nbytes
_DIGEST = re.compile(r"(?:[0-9a-fA-F]{64})?")

_Content = tuple[str, int, int]


def _decoded() -> Lru[_Content, Mask]:
    return Lru(DECODED_BYTES)


@dataclass(frozen=True, slots=True)
class MaskResolver:
    """Gives a request the mask it names."""

    registry: MaskRegistry
    executor: Executor
    decoded: Lru[_Content, Mask] = field(default_factory=_decoded)
    """Stored masks by content: digest, height, width."""

    @traced("mask")
    async def resolve(self, request: EditRequest, source: image_pb2.MaskSource | None) -> EditRequest:
        """`request` with its mask. Errors: BadField, MaskNotFound, StaleMask, MasksUnavailable."""
        if source is None:
            return request
        match source.WhichOneof("source"):
            case "inline_png":
                png, where = source.inline_png, "mask.inline_png"
                if len(png) > MAX_INLINE_BYTES:
                    raise BadField(
                        where, f"{len(png)} bytes are more than {MAX_INLINE_BYTES}; put the mask with MaskService.PutMask"
                    )
                header = parse_gray_header(png, where)  # before any pixel is decoded
                _check_size(request, header.height, header.width, where)
                return replace(request, mask=await self._decode(png, where))
            case "reference":
                stored, mask = await self._pinned(request, source.reference)
                return replace(request, mask=mask, mask_version=stored.version)
            case _:
                raise BadField("mask.source", "is empty; give an inline PNG or a reference, or leave the mask out")

    async def confirm(self, source: image_pb2.MaskSource | None) -> None:
        """That the stored mask an edit names still is the current one. Errors: StaleMask, MasksUnavailable."""
        if source is not None and source.WhichOneof("source") == "reference":
            await self._pin(source.reference)

    async def _pin(self, reference: image_pb2.MaskReference) -> StoredMask:
        where = "mask.reference"
        if not reference.version and not reference.digest:
            raise BadField(where, "name the version or the digest that was seen, so that no stale mask is used")
        image_id = parse_image_id(reference.image_id, f"{where}.image_id")
        if not _DIGEST.fullmatch(reference.digest):
            raise BadField(f"{where}.digest", "is no sha256; give its 64 hexadecimal digits, or nothing")
        return await self.registry.pin(image_id, reference.version, reference.digest)

    async def _pinned(self, request: EditRequest, reference: image_pb2.MaskReference) -> tuple[StoredMask, Mask]:
        while True:
            stored = await self._pin(reference)
            _check_size(request, stored.height, stored.width, "mask.reference")
            content = (stored.digest, stored.height, stored.width)
            mask = self.decoded.get(content)
            if mask is None:
                try:
                    _, png = await self.registry.get(stored.image_id, stored.version)
                except MaskNotFound:  # replaced and given up between the two reads: look again
                    continue
                mask = await self._decode(png, "mask.reference")
                self.decoded.put(content, mask, mask.nbytes + _INFLATED_BYTES)
            return stored, mask

    async def _decode(self, png: bytes, where: str) -> Mask:
        return await asyncio.get_running_loop().run_in_executor(self.executor, Mask.from_png, png, where)


def _check_size(request: EditRequest, height: int, width: int, where: str) -> None:
    if (height, width) != (request.height, request.width):
        raise BadField(
            where,
            f"the mask has {height}×{width} px, the image {request.height}×{request.width}; (height, width) must be equal",
        )
