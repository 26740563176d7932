"""Gray PNGs written row by row, and PNGs read from bytes."""

import struct
import zlib

import numpy as np
import pyvips

from retouch.geometry import Size
from retouch.pixels import Pixels, to_array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COMPRESSION_LEVEL = 3  # masks are mostly runs: higher levels cost twice the time and gain little


class GrayPngWriter:
    """An 8-bit gray PNG in O(width) memory beside its compressed bytes (PNG specification, third edition, section 5).

    >>> writer = GrayPngWriter(Size(2, 3)); writer.add(np.zeros((2, 3), np.uint8)); writer.finish()[1:4]
    b'PNG'
    """

    def __init__(self, size: Size) -> None:
        self._deflate = zlib.compressobj(COMPRESSION_LEVEL)
        header = struct.pack(">IIBBBBB", size.width, size.height, 8, 0, 0, 0, 0)
        self._parts = [SIGNATURE, _chunk(b"IHDR", header)]

    def add(self, rows: Pixels) -> None:
        """The next rows, (height, width)."""
        filtered = np.zeros((rows.shape[0], rows.shape[1] + 1), np.uint8)  # each row starts with its filter: 0, none
        filtered[:, 1:] = rows
        if packed := self._deflate.compress(filtered.data):
            self._parts.append(_chunk(b"IDAT", packed))

    def finish(self) -> bytes:
        """The whole file."""
        self._parts.append(_chunk(b"IDAT", self._deflate.flush()))
        self._parts.append(_chunk(b"IEND", b""))
        return b"".join(self._parts)


def gray_png(pixels: Pixels) -> bytes:
    """A (height, width) array as a PNG."""
    writer = GrayPngWriter(Size(*pixels.shape))
    writer.add(pixels)
    return writer.finish()


def decoded(png: bytes | memoryview) -> Pixels:
    """(height, width, channels) of an encoded 8-bit image of any kind. Raises ValueError for bytes that are none."""
    try:
        image = pyvips.Image.new_from_buffer(bytes(png), "")
        return to_array(image)
    except pyvips.Error as error:
        raise ValueError(f"not an image: {str(error).strip().splitlines()[-1]}") from error


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
