"""Proxies and tiles: order of channels, limits, headers before pixels."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from retouch_server.errors import BadField
from retouch_server.imaging.codec import decode_proxy, decode_tile_png, encode_png

Pixels = NDArray[np.uint8]


def saved(pixels: Pixels, kind: str, mode: str | None = None, **options: object) -> bytes:
    picture = Image.fromarray(pixels)
    with io.BytesIO() as out:
        (picture.convert(mode) if mode else picture).save(out, kind, **options)
        return out.getvalue()


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 3, 4]), st.integers(0, 2**32 - 1))
def test_tiles_round_trip(height: int, width: int, channels: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)
    png = encode_png(pixels)
    np.testing.assert_array_equal(decode_tile_png(png, height, width, channels), pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))).reshape(pixels.shape), pixels)


def test_a_slice_of_an_image_is_encoded_as_it_is() -> None:
    pixels = noise(40, 50, 3)
    np.testing.assert_array_equal(decode_tile_png(encode_png(pixels[3:20, 7:30]), 17, 23, 3), pixels[3:20, 7:30])
    np.testing.assert_array_equal(decode_tile_png(encode_png(pixels[3:20, 7:30, 0]), 17, 23, 1)[:, :, 0], pixels[3:20, 7:30, 0])


def test_proxies_are_rgb_whatever_they_came_as() -> None:
    pixels = noise(30, 40, 3)
    np.testing.assert_array_equal(decode_proxy(saved(pixels, "PNG")), pixels)
    gray = pixels[:, :, 0]
    np.testing.assert_array_equal(decode_proxy(saved(gray, "PNG")), np.stack([gray] * 3, axis=2))
    red = np.full((64, 48, 3), (250, 10, 20), np.uint8)
    for options in ({}, {"progressive": True}, {"subsampling": 0}):
        assert np.abs(decode_proxy(saved(red, "JPEG", **options)).astype(int) - red).max() < 8
    assert decode_proxy(saved(gray, "JPEG")).shape == (30, 40, 3)


def test_a_proxy_is_not_turned_by_its_exif() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    assert decode_proxy(saved(noise(30, 40, 3), "JPEG", exif=exif)).shape == (30, 40, 3)


JPEG = saved(noise(300, 400, 3), "JPEG")
PNG = saved(noise(300, 400, 3), "PNG")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "neither"),
        (b"GIF89a" + bytes(100), "neither"),
        (JPEG + bytes(600_000), "at most 524,288"),
        (saved(np.zeros((1025, 3, 3), np.uint8), "PNG"), "no side is over 1024"),
        (saved(np.zeros((3, 2000, 3), np.uint8), "JPEG"), "no side is over 1024"),
        (saved(noise(9, 9, 4), "PNG"), "RGBA PNG; convert"),
        (saved(noise(9, 9), "PNG", "P"), "palette"),
        (saved(noise(9, 9).astype(np.uint16), "PNG"), "16-bit gray"),
        (saved(noise(9, 9, 3), "JPEG", "CMYK"), "rare kind"),
        (JPEG[: len(JPEG) // 2], "damaged or missing"),
        (JPEG[:20], "without a frame header"),
        (b"\xff\xd8\xff", "without a frame header"),
        (PNG[: len(PNG) // 2], "cut short"),
        (PNG[:5000] + PNG[-12:], "damaged or missing"),
    ],
)
def test_what_is_no_proxy_is_a_bad_field(data: bytes, told: str) -> None:
    with pytest.raises(BadField, match=told) as caught:
        decode_proxy(data)
    assert caught.value.field == "proxy.data"


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([JPEG[:4000], PNG[:4000]]), st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=6))
def test_damaged_headers_never_break_out(data: bytes, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(data)
    for at, value in changes:
        damaged[at] = value
    with pytest.raises(BadField):
        decode_proxy(bytes(damaged))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "not a PNG"),
        (JPEG, "not a PNG"),
        (PNG[:900], "cut short"),
        (PNG[:5000] + PNG[-12:], "damaged or missing"),
        (saved(noise(300, 401, 3), "PNG"), "300x401 px where tile.rect says 300x400"),
        (saved(noise(300, 400, 4), "PNG"), "3 channels"),
        (saved(noise(300, 400), "PNG", "P"), "palette"),
        (saved(noise(300, 400).astype(np.uint16), "PNG"), "16-bit"),
    ],
)
def test_what_is_no_tile_is_a_bad_field(data: bytes, told: str) -> None:
    with pytest.raises(BadField, match=told) as caught:
        decode_tile_png(data, 300, 400, 3)
    assert caught.value.field == "tile.data"


def test_a_tile_that_unpacks_to_too_much_is_refused() -> None:
    png = cv2.imencode(".png", np.zeros((8200, 8200), np.uint8))[1].tobytes()
    with pytest.raises(BadField, match="smaller tiles"):
        decode_tile_png(png, 8200, 8200, 1)
