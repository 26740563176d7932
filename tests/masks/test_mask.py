"""The laws of the sparse mask: it is the array, at any size and chunking."""

import hashlib
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retouch_server.errors import BadField
from retouch_server.imaging.mask import BLOCK_PX, Mask, MaskBuilder

Array = NDArray[np.uint8]


@st.composite
def masks(draw: st.DrawFn) -> Array:
    """Mostly uniform arrays with a few rectangles, soft ramps and noise; sides around multiples of the block."""
    side = st.one_of(st.integers(1, 20), st.integers(1, 420), st.sampled_from([127, 128, 129, 256, 257]))
    height, width = draw(side), draw(side)
    pixels = np.full((height, width), draw(st.sampled_from([0, 0, 255, 3])), np.uint8)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for kind in draw(st.lists(st.sampled_from(["box", "noise", "pixel", "ramp"]), max_size=4)):
        y, x = int(rng.integers(height)), int(rng.integers(width))
        h, w = int(rng.integers(1, height - y + 1)), int(rng.integers(1, width - x + 1))
        if kind == "pixel":
            pixels[y, x] = 7
        elif kind == "box":
            pixels[y : y + h, x : x + w] = rng.choice([0, 255])
        elif kind == "noise":
            pixels[y : y + h, x : x + w] = rng.integers(0, 256, (h, w))
        else:
            pixels[y : y + h, x : x + w] = np.linspace(0, 255, w).astype(np.uint8)
    return pixels


def rect(draw: st.DrawFn, pixels: Array) -> tuple[int, int, int, int]:
    y = draw(st.integers(0, pixels.shape[0] - 1))
    x = draw(st.integers(0, pixels.shape[1] - 1))
    return y, x, draw(st.integers(1, pixels.shape[0] - y)), draw(st.integers(1, pixels.shape[1] - x))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_windows_and_any_are_those_of_the_array(data: st.DataObject) -> None:
    pixels = data.draw(masks())
    mask = Mask.from_array(pixels)
    assert (mask.height, mask.width) == pixels.shape
    assert mask.digest == hashlib.sha256(pixels.tobytes()).hexdigest()
    np.testing.assert_array_equal(mask.window(0, 0, *pixels.shape), pixels)
    for _ in range(5):
        y, x, h, w = data.draw(st.composite(rect)(pixels))
        window = mask.window(y, x, h, w)
        np.testing.assert_array_equal(window, pixels[y : y + h, x : x + w])
        assert mask.any(y, x, h, w) == window.any()


@settings(max_examples=60, deadline=None)
@given(masks(), st.integers(0, 2**32 - 1))
def test_any_chunking_of_rows_gives_the_same_mask(pixels: Array, seed: int) -> None:
    rng, builder, y = np.random.default_rng(seed), MaskBuilder(*pixels.shape), 0
    while y < len(pixels):
        n = int(rng.integers(0, 200))
        builder.add_rows(pixels[y : y + n])
        y += n
    mask = builder.finish()
    assert mask == Mask.from_array(pixels)
    np.testing.assert_array_equal(mask.window(0, 0, *pixels.shape), pixels)


@settings(max_examples=60, deadline=None)
@given(masks())
def test_png_round_trip(pixels: Array) -> None:
    mask = Mask.from_array(pixels)
    ours = mask.to_png()
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(ours, np.uint8), cv2.IMREAD_UNCHANGED), pixels)
    assert Mask.from_png(ours) == mask
    assert Mask.from_png(cv2.imencode(".png", pixels)[1].tobytes()) == mask


@settings(max_examples=80, deadline=None)
@given(masks(), st.one_of(st.integers(1, 50), st.sampled_from([64, 128, 200, 256, 1000])))
def test_cells_are_those_of_the_array(pixels: Array, cell: int) -> None:
    mask, (height, width) = Mask.from_array(pixels), pixels.shape
    rows, columns = -(-height // cell), -(-width // cell)
    padded = np.full((rows * cell, columns * cell), np.nan)
    padded[:height, :width] = pixels
    cells = padded.reshape(rows, cell, columns, cell)
    np.testing.assert_array_equal(mask.occupancy(cell), np.nanmax(cells, axis=(1, 3)) > 0)
    np.testing.assert_allclose(mask.coverage(cell), np.nanmean(cells, axis=(1, 3)) / 255, rtol=1e-6)


@pytest.mark.parametrize("value", [0, 1, 255])
@pytest.mark.parametrize("size", [(1, 1), (128, 128), (129, 300), (500, 127)])
def test_full_is_the_full_array(size: tuple[int, int], value: int) -> None:
    assert Mask.full(*size, value) == Mask.from_array(np.full(size, value, np.uint8))
    assert Mask.full(*size, value).any(0, 0, *size) == (value > 0)


def test_a_mostly_empty_gigapixel_mask_is_small() -> None:
    builder = MaskBuilder(4096, 65_535)
    band = np.zeros((256, 65_535), np.uint8)
    for y in range(0, 4096, 256):
        band[:] = 0
        band[100:140, y : y + 300] = 200
        builder.add_rows(band)
    assert builder.finish().nbytes < 400_000


def test_rectangles_must_lie_inside() -> None:
    mask = Mask.full(10, 20)
    for rectangle in [(-1, 0, 1, 1), (0, 0, 11, 1), (0, 1, 1, 20), (0, 0, 0, 1), (3, 3, 1, -1)]:
        with pytest.raises(ValueError, match="not inside"):
            mask.window(*rectangle)
        with pytest.raises(ValueError, match="not inside"):
            mask.any(*rectangle)


def test_the_builder_refuses_wrong_rows() -> None:
    builder = MaskBuilder(4, 3)
    with pytest.raises(ValueError, match="rows must be"):
        builder.add_rows(np.zeros((1, 4), np.uint8))
    with pytest.raises(ValueError, match="5 rows"):
        builder.add_rows(np.zeros((5, 3), np.uint8))
    with pytest.raises(ValueError, match="0 of 4"):
        builder.finish()


def header(height: int, width: int, depth: int = 8, colour: int = 0, interlace: int = 0) -> bytes:
    """A PNG with a true header and no pixels to speak of."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    ihdr = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    parts = (chunk(b"IHDR", ihdr), chunk(b"IDAT", zlib.compress(b"\0")), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("png", "told"),
    [
        (b"", "not a PNG"),
        (b"\xff\xd8\xff\xe0 a JPEG", "not a PNG"),
        (b"\x89PNG\r\n\x1a\n", "cut short"),
        (header(4, 4, 16), "16-bit gray"),
        (header(4, 4, 1), "1-bit gray"),
        (header(4, 4, 8, 2), "RGB PNG; convert it to 8-bit gray"),
        (header(4, 4, 8, 3), "palette"),
        (header(4, 4, 8, 6), "RGBA"),
        (header(4, 4, interlace=1), "interlac"),
        (header(65_536, 4), "65,535"),
        (header(60_000, 60_000), "1,100,000,000"),
        (header(0, 4), "impossible"),
        (header(4, 4, 8, 5), "damaged header"),
        (header(400, 400), "damaged or missing pixel data"),
    ],
)
def test_what_is_not_a_mask_is_a_bad_field(png: bytes, told: str) -> None:
    with pytest.raises(BadField, match=told) as caught:
        Mask.from_png(png, "mask.inline_png")
    assert caught.value.field == "mask.inline_png"


def test_damage_is_found() -> None:
    rng = np.random.default_rng(5)
    png = cv2.imencode(".png", rng.integers(0, 256, (300, 300)).astype(np.uint8))[1].tobytes()
    end = png[-12:]
    for n in (40, 100, len(png) // 2, len(png) - 40, len(png) - 12, len(png) - 1):
        with pytest.raises(BadField):
            Mask.from_png(png[:n])
        if n < len(png) - 12:  # cut, but with an end glued on
            with pytest.raises(BadField):
                Mask.from_png(png[:n] + end)
    for at in (20, 30, 45, len(png) // 2, len(png) - 30):
        with pytest.raises(BadField):
            Mask.from_png(png[:at] + bytes([png[at] ^ 0x10]) + png[at + 1 :])


def test_a_transparent_gray_level_is_still_its_gray() -> None:
    png = Mask.from_array(np.full((5, 7), 9, np.uint8)).to_png()
    body = b"tRNS\x00\x09"
    chunk = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    assert Mask.from_png(png[:33] + chunk + png[33:]) == Mask.full(5, 7, 9)


def test_the_block_size_divides_into_words() -> None:
    assert BLOCK_PX % 8 == 0
