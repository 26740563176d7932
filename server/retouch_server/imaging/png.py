"""PNG, a band of rows at a time: the header before any pixel, and never the whole image decoded in memory.

libvips reads (sequential access, one thread, no cache of operations); zlib writes.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyvips
from numpy.typing import NDArray

from retouch_server.errors import BadField

_vips = cast(Any, pyvips)  # its types are made at run time
_vips.cache_set_max(0)
_vips.concurrency_set(1)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIDE_PX = 65_535
MAX_AREA_PX = 1_100_000_000
_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_COLOUR_TYPES = {0: "gray", 2: "RGB", 3: "palette", 4: "gray with alpha", 6: "RGBA"}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


@dataclass(frozen=True, slots=True)
class PngHeader:
    """What a PNG says about itself; sides in px."""

    height: int
    width: int
    bit_depth: int
    colour_type: int
    is_interlaced: bool

    @property
    def colour(self) -> str:
        """The colour type in words: gray, RGB, palette, gray with alpha, RGBA."""
        return _COLOUR_TYPES[self.colour_type]

    @property
    def channels(self) -> int:
        """Samples per pixel as stored; a palette index is one."""
        return _CHANNELS[self.colour_type]


def parse_png_header(png: bytes, field: str) -> PngHeader:
    """Read the header of `png` and touch no pixel.

    Errors: BadField naming `field` when `png` is no PNG, is cut short, or has an impossible header.
    """
    if not png.startswith(SIGNATURE):
        raise BadField(field, "is not a PNG (its first bytes are not the PNG signature); send a PNG")
    if len(png) < 33 + len(_END) or png[8:16] != b"\x00\x00\x00\rIHDR" or png.find(_END) != len(png) - len(_END):
        raise BadField(field, "is a PNG that is cut short or has bytes after its end; send the whole file and nothing else")
    width, height, depth, colour, compression, filters, interlace = struct.unpack(">IIBBBBB", png[16:29])
    if zlib.crc32(png[12:29]) != int.from_bytes(png[29:33], "big") or colour not in _COLOUR_TYPES:
        raise BadField(field, "is a PNG with a damaged header; encode it again")
    if compression or filters or interlace > 1 or not height or not width:
        raise BadField(field, "is a PNG with an impossible header; encode it again")
    return PngHeader(height, width, depth, colour, interlace == 1)


def parse_gray_header(png: bytes, field: str) -> PngHeader:
    """The header of an 8-bit gray, not interlaced PNG within the limits of an image; anything else is a BadField."""
    header = parse_png_header(png, field)
    if header.bit_depth != 8 or header.colour_type != 0:
        raise BadField(
            field, f"is a {header.bit_depth}-bit {header.colour} PNG; convert it to 8-bit gray (one channel, no alpha)"
        )
    if header.is_interlaced:
        raise BadField(field, "is an interlaced PNG; save it without interlacing")
    if max(header.height, header.width) > MAX_SIDE_PX or header.height * header.width > MAX_AREA_PX:
        raise BadField(
            field,
            f"is {header.height}x{header.width} px; each side may be at most {MAX_SIDE_PX:,} px "
            f"and all at most {MAX_AREA_PX:,} px",
        )
    return header


def read_gray_bands(png: bytes, header: PngHeader, rows: int, field: str) -> Iterator[NDArray[np.uint8]]:
    """Decode a gray PNG that `parse_gray_header` accepted; yields (≤ rows, width) uint8 from top to bottom.

    Holds O(rows · width). Errors: BadField naming `field` when the pixel data are damaged or cut short; bands that came
    before the damage have been yielded then.
    """
    try:
        image = _vips.Image.new_from_buffer(png, "", access="sequential", fail_on="error")
        if (image.height, image.width) != (header.height, header.width) or image.format != "uchar":
            raise BadField(field, "is a PNG whose pixels are not what its header says; encode it again")
        if image.bands > 1:  # a tRNS chunk makes one gray level transparent; the gray itself is what a mask means
            image = image.extract_band(0)
        region = _vips.Region.new(image)
        for y in range(0, header.height, rows):
            n = min(rows, header.height - y)
            yield np.frombuffer(region.fetch(0, y, header.width, n), np.uint8).reshape(n, header.width)
    except pyvips.Error as error:
        raise BadField(field, "is a PNG with damaged or missing pixel data; encode it again") from error


def decode_whole(data: bytes, field: str) -> NDArray[np.uint8]:
    """All pixels of a small PNG or JPEG whose header was checked, (height, width, channels), as they are stored: no
    colour management, no turning. Channels may be one more than the header says where a PNG has a tRNS chunk.

    Errors: BadField naming `field` when the pixels are damaged, cut short, or not 8-bit.
    """
    try:
        image = _vips.Image.new_from_buffer(data, "", fail_on="error")
        pixels = np.frombuffer(image.write_to_memory(), np.uint8)
    except pyvips.Error as error:
        raise BadField(field, "has damaged or missing pixel data; encode it again") from error
    if pixels.size != image.height * image.width * image.bands:
        raise BadField(field, "has more than 8 bits per channel; convert it to 8")
    return pixels.reshape(image.height, image.width, image.bands)


def write_gray(height: int, width: int, bands: Iterable[NDArray[np.uint8]]) -> bytes:
    """Encode bands of rows, (n, width) uint8 from top to bottom, `height` rows in all, as an 8-bit gray PNG.

    Every row but the first is filtered "up" (PNG specification, 9.2): rows of a mask repeat, so that is mostly zeros.
    """
    packer = zlib.compressobj(1)
    chunks = [SIGNATURE, _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))]
    above = np.zeros(width, np.uint8)
    for band in bands:
        lines = np.empty((band.shape[0], width + 1), np.uint8)
        lines[:, 0] = 2
        np.subtract(band[0], above, out=lines[0, 1:])
        np.subtract(band[1:], band[:-1], out=lines[1:, 1:])
        above = band[-1].copy()
        if packed := packer.compress(lines.data):
            chunks.append(_chunk(b"IDAT", packed))
    chunks += [_chunk(b"IDAT", packer.flush()), _END]
    return b"".join(chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return b"".join((len(body).to_bytes(4, "big"), kind, body, zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big")))
