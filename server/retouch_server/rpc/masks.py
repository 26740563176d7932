"""Which mask an edit uses: inline, or stored and pinned."""

import asyncio
import re
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from retouch.v1 import image_pb2
from retouch_server.errors import BadField
from retouch_server.imaging.mask import Mask
from retouch_server.imaging.png import parse_gray_header
from retouch_server.masks.registry import MaskRegistry, parse_image_id
from retouch_server.pipeline.request import EditRequest

MAX_INLINE_BYTES = 768 * 1024
_DIGEST = re.compile(r"(?:[0-9a-fA-F]{64})?")


@dataclass(frozen=True, slots=True)
class MaskResolver:
    """Gives a request the mask it names."""

    registry: MaskRegistry
    executor: Executor

    async def resolve(self, request: EditRequest, source: image_pb2.MaskSource | None) -> EditRequest:
        """`request` with its mask. Errors: BadField, MaskNotFound, StaleMask."""
        if source is None:
            return request
        version = 0
        match source.WhichOneof("source"):
            case "inline_png":
                png, field = source.inline_png, "mask.inline_png"
                if len(png) > MAX_INLINE_BYTES:
                    raise BadField(
                        field, f"{len(png)} bytes are more than {MAX_INLINE_BYTES}; put the mask with MaskService.PutMask"
                    )
            case "reference":
                reference, field = source.reference, "mask.reference"
                if not reference.version and not reference.digest:
                    raise BadField(field, "name the version or the digest that was seen, so that no stale mask is used")
                image_id = parse_image_id(reference.image_id, f"{field}.image_id")
                if not _DIGEST.fullmatch(reference.digest):
                    raise BadField(f"{field}.digest", "is no sha256; give its 64 hexadecimal digits, or nothing")
                stored, png = await self.registry.pin(image_id, reference.version, reference.digest)
                version = stored.version
            case _:
                raise BadField("mask.source", "is empty; give an inline PNG or a reference, or leave the mask out")
        header = parse_gray_header(png, field)  # before any pixel is decoded
        if (header.height, header.width) != (request.height, request.width):
            raise BadField(
                field,
                f"the mask has {header.height}×{header.width} px, the image {request.height}×{request.width}; "
                "(height, width) must be equal",
            )
        loop = asyncio.get_running_loop()
        mask = await loop.run_in_executor(self.executor, Mask.from_png, png, field)
        return replace(request, mask=mask, mask_version=version)
