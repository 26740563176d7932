"""Stored masks: `client.masks`."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from PIL import Image

from retouch import convert
from retouch.errors import ProtocolError, VersionConflictError
from retouch.geometry import Rect, Size
from retouch.mask import MAX_INLINE_BYTES, MaskReference, PackedMask, Picture, open_picture, pack
from retouch.pixels import Pixels
from retouch.png import decoded
from retouch.proxy import proxy_of
from retouch.retry import Retry
from retouch.threads import in_thread
from retouch.transport import Rpc
from retouch.v1 import image_pb2
from retouch.v1 import mask_service_pb2 as mask_pb

CHUNK_BYTES = 640 << 10


@dataclass(frozen=True, slots=True)
class MaskVersion:
    """A stored version of a mask."""

    image_id: str
    version: int  # grows by one with each write, from 1
    digest: str  # sha256 of the raw row-major bytes
    size: Size
    created: datetime  # UTC

    def reference(self) -> MaskReference:
        """Pins this very version, to be given as the mask of an edit."""
        return MaskReference(self.image_id, self.version, self.digest)


@dataclass(frozen=True, slots=True, eq=False)
class StoredMask:
    """A mask as it was stored."""

    version: MaskVersion
    png: bytes

    @property
    def pixels(self) -> Pixels:
        """(height, width), 255 = edit."""
        return decoded(self.png)[:, :, 0]


@dataclass(frozen=True, slots=True, eq=False)
class SuggestedMask:
    """Where overlay text was found on a picture's proxy."""

    proxy_mask: Pixels  # (height, width) of the proxy: 255 on text, falling softly to 0
    proxy_boxes: tuple[Rect, ...]  # in proxy pixels, largest first; at most 256
    size: Size  # of the picture

    @property
    def pixels(self) -> Pixels:
        """The mask at the picture's size, bilinear."""
        mask = Image.fromarray(self.proxy_mask)
        return np.asarray(mask.resize((self.size.width, self.size.height), Image.Resampling.BILINEAR))


class Masks:
    """MaskService. Every method raises ServiceError and is made again after a passing failure."""

    def __init__(self, rpc: Rpc, retry: Retry) -> None:
        self._rpc = rpc
        self._retry = retry

    async def put(
        self, image_id: str, mask: Picture, *, expected_version: int = 0, timeout_s: float | None = None
    ) -> MaskVersion:
        """Stores a mask as the successor of `expected_version` (0: there must be none yet) and returns what is current then.
        Content that equals the current version makes no new one. Raises VersionConflictError when another came first."""
        packed = await in_thread(_packed, mask)
        return await self.put_packed(image_id, packed, expected_version=expected_version, timeout_s=timeout_s)

    async def put_packed(
        self, image_id: str, mask: PackedMask, *, expected_version: int = 0, timeout_s: float | None = None
    ) -> MaskVersion:
        """`put` for a mask that is packed already."""

        async def requests() -> AsyncIterator[mask_pb.PutMaskRequest]:
            yield mask_pb.PutMaskRequest(open=mask_pb.OpenPutMask(image_id=image_id, expected_version=expected_version))
            for at in range(0, len(mask.png), CHUNK_BYTES):
                yield mask_pb.PutMaskRequest(chunk=mask.png[at : at + CHUNK_BYTES])

        try:
            answer = await self._retry.call(lambda left_s: self._rpc.put_mask(requests(), left_s), timeout_s)
        except VersionConflictError:
            # The write that came first may be ours: an earlier attempt whose answer was lost, or the same content by another.
            current = await self.list(image_id, limit=1, timeout_s=timeout_s)
            if current and (current[0].digest, current[0].size) == (mask.digest, mask.size):
                return current[0]
            raise
        return _version(answer.version)

    async def get(self, image_id: str, *, version: int = 0, timeout_s: float | None = None) -> StoredMask:
        """A version of a mask; 0 is the current one. Raises MaskNotFoundError."""

        async def fetch(left_s: float | None) -> StoredMask:
            found: MaskVersion | None = None
            chunks: list[bytes] = []
            async for message in self._rpc.get_mask(mask_pb.GetMaskRequest(image_id=image_id, version=version), left_s):
                if message.HasField("version"):
                    found = _version(message.version)
                else:
                    chunks.append(message.chunk)
            if found is None:
                raise ProtocolError("the server sent a mask without its version")
            return StoredMask(found, b"".join(chunks))

        return await self._retry.call(fetch, timeout_s)

    async def list(
        self, image_id: str, *, limit: int = 100, before_version: int = 0, timeout_s: float | None = None
    ) -> list[MaskVersion]:
        """Versions of a mask, newest first; none for an unknown image id. At most 100: page with `before_version`."""
        request = mask_pb.ListMaskVersionsRequest(image_id=image_id, page_size=limit, before_version=before_version)
        answer = await self._retry.call(lambda left_s: self._rpc.list_versions(request, left_s), timeout_s)
        return [_version(each) for each in answer.versions]

    async def suggest(self, image: Picture, *, timeout_s: float | None = None) -> SuggestedMask:
        """Where overlay text is, judged on a proxy of the image. Stores nothing."""
        size, proxy = await in_thread(_size_and_proxy, image)
        request = mask_pb.SuggestMaskRequest(proxy=image_pb2.Proxy(data=proxy))
        answer = await self._retry.call(lambda left_s: self._rpc.suggest_mask(request, left_s), timeout_s)
        try:
            mask = decoded(answer.mask_png)[:, :, 0]
        except ValueError as error:
            raise ProtocolError(f"the server sent a mask that cannot be decoded: {error}") from error
        return SuggestedMask(mask, tuple(map(convert.from_rect, answer.boxes)), size)

    async def source_of(self, mask: PackedMask, room_bytes: int, timeout_s: float | None) -> image_pb2.MaskSource:
        """The mask as an edit carries it: inline where it fits, else stored under its content and referenced."""
        if len(mask.png) <= min(MAX_INLINE_BYTES, room_bytes):
            return image_pb2.MaskSource(inline_png=mask.png)
        stored = await self.list(mask.content_id, limit=1, timeout_s=timeout_s)
        current = stored[0] if stored else await self.put_packed(mask.content_id, mask, timeout_s=timeout_s)
        return convert.to_reference(MaskReference(mask.content_id, current.version, mask.digest))


def _packed(mask: Picture) -> PackedMask:
    source = open_picture(mask)
    try:
        return pack(source, [])
    finally:
        source.close()


def _size_and_proxy(image: Picture) -> tuple[Size, bytes]:
    source = open_picture(image)
    try:
        return source.size, proxy_of(source)
    finally:
        source.close()


def _version(message: mask_pb.MaskVersion) -> MaskVersion:
    if not message.version:
        raise ProtocolError("the server named no mask version")
    return MaskVersion(
        image_id=message.image_id,
        version=message.version,
        digest=message.digest,
        size=convert.from_size(message.size),
        created=datetime.fromtimestamp(message.created.seconds + message.created.nanos / 1e9, UTC),
    )
