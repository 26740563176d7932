"""The hand-written wire format of tiles says what the generated classes say, also of bytes that nobody should send."""

from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from retouch.geometry import Rect
from retouch.v1 import edit_service_pb2 as pb
from retouch.v1 import image_pb2
from retouch.wire import WireTile, parse_request, parse_response, tile_message

UINT32 = st.integers(0, 2**32 - 1)
RECTS = st.builds(image_pb2.Rect, y=UINT32, x=UINT32, height=UINT32, width=UINT32)
TILES = st.builds(image_pb2.Tile, rect=RECTS, data=st.binary(max_size=300), encoding=st.integers(-2, 5))


def known(message: pb.EditRequest) -> pb.EditRequest:
    """Without fields that this version does not know: nobody passes them on."""
    message.DiscardUnknownFields()  # type: ignore[attr-defined]
    return message


def of_generated(message: bytes) -> pb.EditRequest | None:
    """What the generated classes understand; None: no message."""
    try:
        return known(pb.EditRequest.FromString(message))
    except DecodeError:
        return None


def of_ours(message: bytes) -> pb.EditRequest | None:
    """What `parse_request` understood, in the generated classes' words; None: no message."""
    try:
        parsed = parse_request(message)
    except DecodeError:
        return None
    if not isinstance(parsed, WireTile):
        return known(parsed)
    rect = image_pb2.Rect(y=parsed.rect.y, x=parsed.rect.x, height=parsed.rect.height, width=parsed.rect.width)
    encoding = (parsed.encoding + 2**31) % 2**32 - 2**31  # an int32
    tile = image_pb2.Tile(rect=rect, data=bytes(parsed.data), encoding=encoding)  # type: ignore[arg-type]
    return pb.EditRequest(tile=tile)


@given(TILES)
def test_a_tile_is_read_as_the_generated_classes_read_it(tile: image_pb2.Tile) -> None:
    message = pb.EditRequest(tile=tile).SerializeToString()
    assert of_ours(message) == of_generated(message)
    response = parse_response(pb.EditResponse(tile=tile).SerializeToString())
    if isinstance(response, WireTile):
        assert bytes(response.data) == tile.data


@given(RECTS, st.binary(max_size=300))
def test_a_tile_is_written_as_the_generated_classes_write_it(rect: image_pb2.Rect, pixels: bytes) -> None:
    message = tile_message(Rect(rect.y, rect.x, rect.height, rect.width), pixels)
    read = pb.EditRequest.FromString(message)
    assert read == pb.EditRequest(tile=image_pb2.Tile(rect=rect, data=pixels)) or not pixels
    assert (read.tile.rect, read.tile.data) == (rect, pixels)


@given(TILES, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 255)), min_size=1, max_size=3), st.integers(-5, 0))
@settings(max_examples=400)
def test_damaged_tiles_are_read_alike(tile: image_pb2.Tile, damage: list[tuple[int, int]], cut: int) -> None:
    message = bytearray(pb.EditRequest(tile=tile).SerializeToString())
    for at, value in damage:
        if message:
            message[at % min(len(message), 30)] = value
    damaged = bytes(message[: len(message) + cut])
    assert of_ours(damaged) == of_generated(damaged)


@given(st.binary(max_size=60))
@settings(max_examples=300)
@example(b"")
@example(b"\x12")
@example(b"\x12\x00")
@example(b"\x12\x02\x0a\x00")
def test_any_bytes_are_read_alike(message: bytes) -> None:
    assert of_ours(message) == of_generated(message)
