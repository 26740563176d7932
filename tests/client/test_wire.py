"""The hand-written tile codec agrees with the generated classes, byte for byte."""

from hypothesis import given
from hypothesis import strategies as st

from retouch.geometry import Rect, Size
from retouch.upload import TILE_BYTES, strips
from retouch.v1 import edit_service_pb2, image_pb2
from retouch.wire import WireTile, from_proto, parse_request, parse_response, tile_message, to_bytes

NUMBERS = st.integers(0, 2**32 - 1)
RECTS = st.builds(Rect, NUMBERS, NUMBERS, NUMBERS, NUMBERS)


@given(RECTS, st.binary(max_size=300))
def test_a_tile_is_written_as_the_generated_classes_write_it(rect: Rect, data: bytes) -> None:
    message = tile_message(rect, data)
    parsed = edit_service_pb2.EditRequest.FromString(message)
    assert parsed.tile.data == data
    assert from_proto(parsed.tile).rect == rect
    if data:  # proto3 leaves empty bytes out
        assert parsed.SerializeToString() == message
        assert edit_service_pb2.EditResponse.FromString(message).SerializeToString() == message


@given(RECTS, st.binary(min_size=1, max_size=300), st.sampled_from(image_pb2.Encoding.values()))
def test_a_tile_is_read_as_the_generated_classes_read_it(rect: Rect, data: bytes, encoding: int) -> None:
    where = image_pb2.Rect(y=rect.y, x=rect.x, height=rect.height, width=rect.width)
    tile = image_pb2.Tile(rect=where, data=data, encoding=image_pb2.Encoding.ValueType(encoding))
    read = parse_response(edit_service_pb2.EditResponse(tile=tile).SerializeToString())
    assert isinstance(read, WireTile)
    assert (read.rect, bytes(read.data), read.encoding) == (rect, data, encoding)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_tile_are_left_to_the_generated_classes(junk: bytes) -> None:
    from google.protobuf.message import DecodeError

    def outcome(parse: object) -> object:
        try:
            return parse(junk)  # type: ignore[operator]
        except DecodeError:
            return DecodeError

    ours, theirs = outcome(parse_request), outcome(edit_service_pb2.EditRequest.FromString)
    if isinstance(ours, WireTile):
        assert isinstance(theirs, edit_service_pb2.EditRequest)
        again = from_proto(theirs.tile)
        assert (ours.rect, bytes(ours.data), ours.encoding) == (again.rect, bytes(again.data), again.encoding)
    else:
        assert ours == theirs


def test_other_messages_pass_through() -> None:
    opened = edit_service_pb2.EditRequest(open=edit_service_pb2.OpenEdit(size=image_pb2.ImageSize(height=1, width=2)))
    assert parse_request(to_bytes(opened)) == opened


@given(st.integers(1, 3000), st.integers(1, 65535), st.sampled_from([1, 3, 4]))
def test_strips_partition_the_image_and_fit_into_messages(height: int, width: int, channels: int) -> None:
    y = 0
    for rect in strips(Size(height, width), channels):
        assert (rect.y, rect.x, rect.width) == (y, 0, width)
        assert rect.area_px * channels <= TILE_BYTES
        assert rect.height <= 1024
        y = rect.bottom
    assert y == height


def test_rows_that_do_not_fit_are_cut_in_columns() -> None:
    rects = list(strips(Size(2, TILE_BYTES), 3))
    assert sum(rect.area_px for rect in rects) == 2 * TILE_BYTES
    assert all(rect.height == 1 and rect.area_px * 3 <= TILE_BYTES for rect in rects)
    assert [rect.x for rect in rects[:2]] == [0, TILE_BYTES // 3]


def test_the_largest_message_stays_below_one_mebibyte() -> None:
    biggest = tile_message(Rect(2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1), bytes(TILE_BYTES))
    assert len(biggest) < 1 << 20
