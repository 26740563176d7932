"""Small pictures in and out: proxies and tiles. Channels in the order red, green, blue, alpha; headers before pixels."""

import cv2
import numpy as np
from numpy.typing import NDArray

from retouch_server.errors import BadField
from retouch_server.imaging.png import SIGNATURE, decode_whole, parse_png_header

MAX_PROXY_BYTES = 512 * 1024
MAX_PROXY_SIDE_PX = 1024
MAX_TILE_BYTES = 64 * 1024 * 1024
"""Decoded bytes of one PNG tile: a message of 1 MiB may hold a thousand times as much."""

_PROXY = "proxy.data"
_JPEG_START = b"\xff\xd8\xff"
_JPEG_WITHOUT_BODY = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TO_BGR = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}


def decode_proxy(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a proxy, (height, width, 3) uint8 RGB; gray becomes three equal channels.

    Errors: BadField naming `proxy.data`: over 512 KiB, neither PNG nor JPEG, a side over 1024 px, not 8-bit gray or RGB,
    damaged or cut short.
    """
    if len(data) > MAX_PROXY_BYTES:
        raise BadField(_PROXY, f"has {len(data):,} bytes, at most {MAX_PROXY_BYTES:,} are taken; shrink it or send a JPEG")
    height, width = _parse_proxy_size(data)
    if max(height, width) > MAX_PROXY_SIDE_PX:
        raise BadField(_PROXY, f"is {height}x{width} px; shrink it so that no side is over {MAX_PROXY_SIDE_PX} px")
    pixels = decode_whole(data, _PROXY)
    if pixels.shape[:2] != (height, width):
        raise BadField(_PROXY, "has another size than its header says; encode it again")
    return np.ascontiguousarray(pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, :1].repeat(3, axis=2))


def decode_tile_png(data: bytes, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """The pixels of a tile sent as PNG, (height, width, channels) uint8.

    Errors: BadField naming `tile.data`: not a PNG of just that size with 8 bits in just so many channels, interlaced, over
    64 MiB when decoded, damaged or cut short.
    """
    header = parse_png_header(data, "tile.data")
    if (header.height, header.width) != (height, width):
        raise BadField("tile.data", f"is a PNG of {header.height}x{header.width} px where tile.rect says {height}x{width}")
    if header.bit_depth != 8 or header.channels != channels or header.colour_type == 3:
        told = f"is a {header.bit_depth}-bit {header.colour} PNG where the pixel format of the edit has {channels} channels"
        raise BadField("tile.data", f"{told} of 8 bits; convert it")
    if header.is_interlaced:
        raise BadField("tile.data", "is an interlaced PNG; save it without interlacing")
    if height * width * channels > MAX_TILE_BYTES:
        raise BadField("tile.data", f"is {height}x{width} px, over {MAX_TILE_BYTES:,} bytes decoded; send smaller tiles")
    pixels = decode_whole(data, "tile.data")
    return np.ascontiguousarray(pixels[:, :, :channels])


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of (height, width) or (height, width, 1, 3 or 4) uint8 pixels, gray, RGB or RGBA; fast rather than small."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    ordered = cv2.cvtColor(pixels, _TO_BGR[channels]) if channels in _TO_BGR else np.ascontiguousarray(pixels)
    done, data = cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError(f"no PNG holds {pixels.shape} {pixels.dtype}")
    return data.tobytes()


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = 90) -> bytes:
    """A JPEG of (height, width, 3) uint8 RGB pixels."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"no JPEG holds {pixels.shape} {pixels.dtype}")
    return data.tobytes()


def _parse_proxy_size(data: bytes) -> tuple[int, int]:
    """(height, width) of a PNG or JPEG from its header."""
    if data.startswith(SIGNATURE):
        header = parse_png_header(data, _PROXY)
        if header.bit_depth != 8 or header.colour_type not in (0, 2):
            raise BadField(_PROXY, f"is a {header.bit_depth}-bit {header.colour} PNG; convert it to 8-bit gray or RGB")
        return header.height, header.width
    if data.startswith(_JPEG_START):
        return _parse_jpeg_size(data)
    raise BadField(_PROXY, "is neither a PNG nor a JPEG by its first bytes; send one of these")


def _parse_jpeg_size(data: bytes) -> tuple[int, int]:
    """(height, width) from the frame header, ITU-T T.81, B.2.2."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _JPEG_WITHOUT_BODY:
            at += 1 if marker == 0xFF else 2
        elif marker in _JPEG_FRAMES and at + 10 <= len(data):
            precision, components = data[at + 4], data[at + 9]
            if marker > 0xC2 or precision != 8 or components not in (1, 3):
                raise BadField(_PROXY, "is a JPEG of a rare kind; send a baseline or progressive one, 8-bit gray or RGB")
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise BadField(_PROXY, "is a JPEG without a frame header; encode it again")
