"""Masks: any picture of the image's size becomes one 8-bit channel (255 edits, 0 keeps), its digest and its PNG."""

import hashlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retouch.errors import InvalidInputError
from retouch.files import FileSource
from retouch.geometry import Size
from retouch.image import ArraySource, PillowSource, luma
from retouch.pixels import CHANNELS, Pixels, PixelSource, rows_per_band
from retouch.png import GrayPngWriter

Picture = NDArray[Any] | Image.Image | str | PathLike[str]
MAX_INLINE_BYTES = 768 << 10


@dataclass(frozen=True, slots=True)
class MaskReference:
    """A mask that the service holds, pinned by version or digest so that a stale one is refused; at least one is needed."""

    image_id: str
    version: int = 0
    digest: str = ""

    def __post_init__(self) -> None:
        if not self.version and not self.digest:
            raise InvalidInputError(f"the mask of {self.image_id!r} must be pinned by version, digest or both")


MaskLike = Picture | MaskReference


@dataclass(frozen=True, slots=True)
class PackedMask:
    """A mask ready to be sent."""

    size: Size
    digest: str  # lower-case hex sha256 of the raw rows
    png: bytes
    warnings: tuple[str, ...]

    @property
    def content_id(self) -> str:
        """An image id for masks that are stored only to be used once: equal content, equal id."""
        return f"auto:sha256:{self.digest}:{self.size.height}x{self.size.width}"


def open_picture(picture: Picture, *, orientation: int | None = None) -> PixelSource:
    """A source for an array, a Pillow image or a path; `orientation` overrides the picture's own."""
    if isinstance(picture, np.ndarray):
        return ArraySource(picture, orientation=orientation)
    if isinstance(picture, Image.Image):
        return PillowSource(picture, orientation=orientation)
    return FileSource(Path(picture), orientation=orientation)


def pack_mask(mask: Picture, image: PixelSource) -> PackedMask:
    """The mask for an image. Raises InvalidInputError, naming both sizes, where they differ. Blocks: reads all of it.

    A mask that says how it lies (an EXIF orientation of its own, 1 included) is believed. One that does not lies as the image
    is stored; if only the upright size fits, it is taken as upright.
    """
    source = open_picture(mask)
    notes: list[str] = []
    if image.orientation != 1 and not source.has_orientation_tag and source.size == image.stored_size:
        source = open_picture(mask, orientation=image.orientation)
        if source.size == source.stored_size:
            notes.append(
                f"the image has EXIF orientation {image.orientation} and the mask has none: it was turned with the image; "
                "if the mask is upright already, give it the orientation tag 1"
            )
    try:
        if source.size != image.size:
            raise InvalidInputError(f"the mask is {source.size} and the image is {image.size}; make them equal")
        return pack(source, notes)
    finally:
        source.close()


def pack(source: PixelSource, notes: list[str]) -> PackedMask:
    """One pass over a mask's pixels. Its digest is that of `hashlib.sha256(image.convert("L").tobytes())`."""
    size, sha, writer, highest = source.size, hashlib.sha256(), GrayPngWriter(source.size), 0
    rows = rows_per_band(size, CHANNELS[source.pixel_format])
    for y in range(0, size.height, rows):
        gray = _gray(source.read(y, min(rows, size.height - y)))
        sha.update(gray.data)
        writer.add(gray)
        highest = max(highest, int(gray.max()))
    if highest == 0:
        notes.append("the mask is empty: nothing in the image is marked for editing")
    elif highest == 1:
        notes.append("the mask's highest value is 1 of 255, which edits next to nothing; give booleans, or 255 for edit")
    return PackedMask(size, sha.hexdigest(), writer.finish(), tuple(notes))


def _gray(band: Pixels) -> Pixels:
    return band[:, :, 0] if band.shape[2] == 1 else luma(band)
