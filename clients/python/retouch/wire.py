"""Tiles to and from protobuf's wire format with a single copy of the pixels.

The generated classes copy pixels three times each way; that alone holds a client below 200 MB/s. So the one message that
carries pixels, field 2 of EditRequest and of EditResponse, is written and read here
(https://protobuf.dev/programming-guides/encoding/); whatever looks unusual goes to the generated classes. The bytes are the
same.
"""

from dataclasses import dataclass

from retouch.geometry import Rect
from retouch.v1 import edit_service_pb2, image_pb2

TILE_TAG = 0x12  # field 2, length-delimited: `tile` of EditRequest and EditResponse, `data` of Tile
RECT_TAG = 0x0A  # field 1, length-delimited: `rect` of Tile
ENCODING_TAG = 0x18  # field 3, varint: `encoding` of Tile


@dataclass(frozen=True, slots=True, eq=False)
class WireTile:
    """A tile as it came: packed pixels that still lie in the message's memory."""

    rect: Rect
    data: memoryview
    encoding: image_pb2.Encoding.ValueType


def tile_message(rect: Rect, pixels: memoryview | bytes) -> bytes:
    """A serialised EditRequest, and at once EditResponse, with this tile; `pixels` are raw and C-contiguous bytes."""
    where = image_pb2.Rect(y=rect.y, x=rect.x, height=rect.height, width=rect.width).SerializeToString()
    size_bytes = len(pixels) if isinstance(pixels, bytes) else pixels.nbytes
    head = bytes((RECT_TAG, len(where))) + where + bytes((TILE_TAG,)) + _varint(size_bytes)
    return b"".join((bytes((TILE_TAG,)), _varint(len(head) + size_bytes), head, pixels))


def parse_request(message: bytes) -> WireTile | edit_service_pb2.EditRequest:
    """The tile in an EditRequest, or the message itself where it carries something else."""
    tile = _parse_tile(message)
    return edit_service_pb2.EditRequest.FromString(message) if tile is None else tile


def parse_response(message: bytes) -> WireTile | edit_service_pb2.EditResponse:
    """The tile in an EditResponse, or the message itself where it carries something else."""
    tile = _parse_tile(message)
    return edit_service_pb2.EditResponse.FromString(message) if tile is None else tile


def to_bytes(message: bytes | edit_service_pb2.EditRequest | edit_service_pb2.EditResponse) -> bytes:
    """The serialiser that goes with both."""
    return message if isinstance(message, bytes) else message.SerializeToString()


def from_proto(tile: image_pb2.Tile) -> WireTile:
    """A tile that the generated classes parsed."""
    rect = Rect(tile.rect.y, tile.rect.x, tile.rect.height, tile.rect.width)
    return WireTile(rect, memoryview(tile.data), tile.encoding)


def _parse_tile(message: bytes) -> WireTile | None:
    """None unless the message is exactly one tile whose fields are each there once, as every serialiser writes it."""
    try:
        if message[0] != TILE_TAG:
            return None
        size, at = _read_varint(message, 1)
        if at + size != len(message) or message[at] != RECT_TAG:
            return None
        size, at = _read_varint(message, at + 1)
        where = image_pb2.Rect.FromString(message[at : at + size])
        at += size
        if message[at] != TILE_TAG:
            return None
        size, at = _read_varint(message, at + 1)
        data = memoryview(message)[at : at + size]
        at += size
        encoding = image_pb2.ENCODING_UNSPECIFIED
        if at < len(message):
            if message[at] != ENCODING_TAG:
                return None
            value, at = _read_varint(message, at + 1)
            encoding = image_pb2.Encoding.ValueType(value)
        if at != len(message):
            return None
    except (IndexError, ValueError):
        return None
    return WireTile(Rect(where.y, where.x, where.height, where.width), data, encoding)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")
