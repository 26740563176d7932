"""Where pixels come from and where they go, as the stream sees it: upright, 8 bits, top to bottom."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeVar, cast

import numpy as np
import pyvips
from numpy.typing import NDArray

from retouch.errors import InvalidInputError
from retouch.geometry import Rect, Size

Pixels = NDArray[np.uint8]
PixelFormat = Literal["gray8", "rgb8", "rgba8"]
CHANNELS: dict[PixelFormat, int] = {"gray8": 1, "rgb8": 3, "rgba8": 4}
FORMATS: dict[int, PixelFormat] = {channels: name for name, channels in CHANNELS.items()}

MAX_SIDE_PX = 65_535
MAX_AREA_PX = 1_100_000_000
BAND_BYTES = 4 << 20
T_co = TypeVar("T_co", covariant=True)


class PixelSource(Protocol):
    """An image to send. May be read from the top any number of times."""

    size: Size  # upright
    stored_size: Size  # before the EXIF orientation was applied
    orientation: int  # EXIF orientation that was applied: 1 to 8, 1 is none
    has_orientation_tag: bool  # the image says how it lies, be it "upright"
    pixel_format: PixelFormat
    is_blocking: bool  # `read` decodes or waits for a disk: call it in a thread
    warnings: list[str]  # what was changed to make it fit, for people

    def read(self, y: int, height: int) -> Pixels:
        """Rows [y, y + height) as (height, width, channels), C-contiguous, maybe a view. Rows are asked for in order, and
        again from 0. Raises InvalidInputError for a damaged file."""
        ...

    def shrunk(self, factor: int) -> Pixels:
        """The image without alpha, every factor x factor block averaged, blocks at the edges completed by repetition."""
        ...

    def close(self) -> None:
        """Lets go of files. Idempotent."""
        ...


class PixelSink(Protocol[T_co]):
    """A result being put together."""

    def begin(self, size: Size) -> None:
        """Starts, or starts again from nothing."""
        ...

    def write(self, rect: Rect, pixels: Pixels) -> None:
        """Takes (height, width, channels) pixels; the caller has checked that rectangles partition the result."""
        ...

    def finish(self) -> T_co:
        """The complete result. Called once, after the last pixel."""
        ...

    def discard(self) -> None:
        """Throws away what an unfinished result left; nothing after `finish`. Idempotent; may be called from another thread
        while `finish` runs, which then ends early."""
        ...

    is_blocking: bool  # `write` and `finish` wait for a disk: call them in a thread


def check_size(size: Size, what: str = "image") -> None:
    """Raises InvalidInputError for a size that no edit takes."""
    if not (1 <= size.height <= MAX_SIDE_PX and 1 <= size.width <= MAX_SIDE_PX):
        raise InvalidInputError(f"the {what} is {size}; each side must be 1 to {MAX_SIDE_PX} px")
    if size.height * size.width > MAX_AREA_PX:
        raise InvalidInputError(f"the {what} is {size}; at most {MAX_AREA_PX} px in all are taken: cut it in parts")


def rows_per_band(size: Size, channels: int, multiple: int = 1) -> int:
    """Rows that make a band of about 4 MiB, a multiple of `multiple`."""
    rows = max(1, BAND_BYTES // (size.width * channels))
    return max(multiple, rows // multiple * multiple)


def shrunk_by_bands(source: PixelSource, factor: int) -> Pixels:
    """`PixelSource.shrunk` for a source that has nothing better than `read`. O(width) memory beside the result."""
    rows = rows_per_band(source.size, CHANNELS[source.pixel_format], factor)
    bands: list[Pixels] = []
    for y in range(0, source.size.height, rows):
        band = source.read(y, min(rows, source.size.height - y))
        height, width, channels = band.shape
        image = pyvips.Image.new_from_memory(band.data, width, height, channels, "uchar")
        bands.append(to_array(shrink(image, factor)))
    return np.concatenate(bands)


def shrink(image: pyvips.Image, factor: int) -> pyvips.Image:
    """A vips image without its alpha, area-averaged by an integer factor; partial blocks count."""
    colour = image.extract_band(0, n=3) if image.bands == 4 else image
    return colour.shrink(factor, factor, ceil=True) if factor > 1 else colour


def to_array(image: pyvips.Image) -> Pixels:
    """The pixels of an 8-bit vips image as (height, width, channels)."""
    flat = np.frombuffer(image.write_to_memory(), np.uint8)
    return flat.reshape(image.height, image.width, image.bands)


def with_blobs(image: pyvips.Image, blobs: Mapping[str, bytes]) -> pyvips.Image:
    """A vips image with metadata attached."""
    copy = image.copy()  # libvips images are shared; fields may be set on a copy of one's own
    for name, value in blobs.items():
        copy.set_type(pyvips.GValue.blob_type, name, cast(Any, value))  # the stubs forget blobs
    return copy
