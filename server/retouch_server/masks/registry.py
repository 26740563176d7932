"""What a registry of masks promises: versions per image id that only grow, and no edit with a stale mask."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from retouch_server.errors import BadField
from retouch_server.imaging.mask import Mask

_IMAGE_ID = re.compile(r"[A-Za-z0-9._\-:/@]{1,200}")


@dataclass(frozen=True, slots=True)
class StoredMask:
    """One version of an image's mask, without its pixels."""

    image_id: str
    version: int  # from 1, growing by 1
    digest: str  # lower-case hex sha256 of the raw row-major bytes
    height: int
    width: int
    created: datetime  # UTC

    def shows(self, mask: Mask) -> bool:
        """Whether this version has the content of `mask`."""
        return (self.height, self.width, self.digest) == (mask.height, mask.width, mask.digest)


def parse_image_id(text: str, field: str = "image_id") -> str:
    """An image id: 1 to 200 of the letters a-z A-Z, digits and . _ - : / @. Errors: BadField naming `field`."""
    if not _IMAGE_ID.fullmatch(text):
        raise BadField(field, f"{text[:40]!r} is no image id; use 1 to 200 letters (a-z, A-Z), digits and . _ - : / @")
    return text


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of an image's history is kept. The current version always is, whatever its age."""

    versions: int = 0
    """Of each image, the newest so many; 0: all."""
    seconds: float = 0.0
    """A version that was replaced longer ago than that is given up; 0: never."""


class MaskRegistry(Protocol):
    """Keeps masks. Every method is safe to call from many tasks, and from many replicas where the store is shared."""

    async def put(self, image_id: str, png: bytes, mask: Mask, expected_version: int) -> tuple[StoredMask, bool]:
        """Make `mask`, of which `png` is the encoding, the version after `expected_version` (0: there is none yet).

        Returns the current version and whether it is new: content that equals the current version makes none. Versions
        are compared before contents, so a put that names another version than the current one always loses, even with
        equal content. All or nothing: whoever looks sees the old version or the new one, whole.
        Errors: VersionConflict.
        """
        ...

    async def get(self, image_id: str, version: int = 0) -> tuple[StoredMask, bytes]:
        """A version with its PNG; 0: the current one. Errors: MaskNotFound."""
        ...

    async def versions(self, image_id: str, before: int = 0, limit: int = 100) -> list[StoredMask]:
        """Versions below `before` (0: all), newest first, at most `limit`. An unknown image id has none."""
        ...

    async def pin(self, image_id: str, version: int = 0, digest: str = "") -> StoredMask:
        """The current version, provided that it is the one named; 0 and "" name nothing.

        Errors: MaskNotFound when the image has no mask, StaleMask when version or digest is not the current one.
        """
        ...

    async def prune(self) -> int:
        """Give up what the retention does not keep; how many versions that were. A `put` does so for its own image."""
        ...
