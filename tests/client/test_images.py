"""Arrays and Pillow images come back as the kind they were, pixel for pixel."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from retouch import InvalidInputError, RetouchClient
from retouch.testing import FakeServer
from tests.client.support import enlarged

SIZES = [(1, 1), (1, 7), (9, 1), (37, 53), (700, 800), (3, 65535)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("layout", [(), (1,), (3,), (4,)], ids=str)
async def test_arrays_come_back_as_they_went(
    size: tuple[int, int], layout: tuple[int, ...], client: RetouchClient, rng: np.random.Generator
) -> None:
    array = rng.integers(0, 256, (*size, *layout), dtype=np.uint8)
    result = await client.edit_image(array)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("layout", [(), (3,), (4,)], ids=str)
async def test_arrays_are_enlarged(
    scale: int, layout: tuple[int, ...], client: RetouchClient, rng: np.random.Generator
) -> None:
    array = rng.integers(0, 256, (301, 411, *layout), dtype=np.uint8)
    np.testing.assert_array_equal(await client.edit_image(array, scale=scale), enlarged(array, scale))


async def test_views_that_are_not_contiguous_are_sent_right(client: RetouchClient, rng: np.random.Generator) -> None:
    array = rng.integers(0, 256, (90, 60, 6), dtype=np.uint8)[::-2, ::3, ::2]
    np.testing.assert_array_equal(await client.edit_image(array), array)


async def test_gray_with_alpha_comes_back_so(client: RetouchClient, rng: np.random.Generator) -> None:
    array = rng.integers(0, 256, (40, 50, 2), dtype=np.uint8)
    np.testing.assert_array_equal(await client.edit_image(array), array)


async def test_booleans_become_0_and_255(client: RetouchClient, rng: np.random.Generator) -> None:
    array = rng.integers(0, 2, (40, 50)).astype(bool)
    np.testing.assert_array_equal(await client.edit_image(array), np.where(array, 255, 0))


async def test_16_bits_become_8_with_a_warning(client: RetouchClient) -> None:
    call = client.edit(np.array([[0, 128, 129, 257, 65535]], np.uint16))
    np.testing.assert_array_equal(await call, [[0, 0, 1, 1, 255]])
    assert ["16 bits" in warning for warning in call.report.warnings] == [True]


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2)), np.zeros((2, 2, 5), np.uint8), np.zeros(4, np.uint8), np.zeros((0, 2), np.uint8)]
)
async def test_arrays_that_are_no_image_are_refused_before_anything_is_sent(
    array: Any, client: RetouchClient, fake: FakeServer
) -> None:
    with pytest.raises(InvalidInputError):
        await client.edit_image(array)
    assert fake.opened == []


async def test_paths_are_refused_with_a_hint(client: RetouchClient) -> None:
    with pytest.raises(InvalidInputError, match="edit_file"):
        await client.edit_image("photo.jpg")  # type: ignore[call-overload]


async def test_png_tiles_are_decoded(client: RetouchClient, rng: np.random.Generator) -> None:
    for layout in ((), (3,), (4,)):
        array = rng.integers(0, 256, (70, 50, *layout), dtype=np.uint8)
        np.testing.assert_array_equal(await client.edit_image(array, output_encoding="png"), array)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("scale", [1, 2])
async def test_pillow_images_come_back_in_their_mode(
    mode: str, scale: int, client: RetouchClient, rng: np.random.Generator
) -> None:
    array = rng.integers(0, 256, (310, 420, len(mode)), dtype=np.uint8)
    image = Image.fromarray(array.squeeze(), mode=None) if mode != "LA" else _gray_alpha(array)
    result = await client.edit_image(image, scale=scale)
    assert result.mode == mode
    np.testing.assert_array_equal(np.asarray(result), enlarged(np.asarray(image), scale))


@pytest.mark.parametrize(
    ("mode", "becomes"),
    [("1", "L"), ("P", "RGB"), ("I;16", "L"), ("I", "L"), ("CMYK", "RGB"), ("YCbCr", "RGB"), ("HSV", "RGB")],
)
async def test_other_modes_are_converted_with_a_warning(mode: str, becomes: str, client: RetouchClient) -> None:
    call = client.edit(Image.new(mode, (20, 10)))
    assert (await call).mode == becomes
    assert len(call.report.warnings) == 1


async def test_a_palette_with_transparency_becomes_rgba(client: RetouchClient) -> None:
    image = Image.new("P", (4, 4))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.info["transparency"] = 0
    result = await client.edit_image(image)
    assert (result.mode, result.getpixel((0, 0))) == ("RGBA", (255, 0, 0, 0))


async def test_a_cmyk_image_gets_colours_through_its_profile_and_loses_it(client: RetouchClient) -> None:
    image = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    result = await client.edit_image(image)
    assert min(result.getpixel((3, 3))) > 250  # no ink is white
    assert "icc_profile" not in result.info


async def test_floats_have_no_known_range(client: RetouchClient) -> None:
    with pytest.raises(InvalidInputError, match="mode F"):
        await client.edit_image(Image.new("F", (4, 4)))


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_pillow_images_are_sent_and_come_back_upright(
    orientation: int, client: RetouchClient, fake: FakeServer, rng: np.random.Generator
) -> None:
    image = _tagged(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), orientation)
    result = await client.edit_image(image)
    upright = ImageOps.exif_transpose(image)
    np.testing.assert_array_equal(np.asarray(result), np.asarray(upright))
    assert (fake.opened[0].size.height, fake.opened[0].size.width) == (upright.height, upright.width)
    assert result.getexif().get(0x0112, 1) == 1
    assert result.getexif()[0x010E] == "a chair"


async def test_profile_exif_and_resolution_are_kept(client: RetouchClient) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    packed = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "a chair"
    Image.new("RGB", (12, 8)).save(packed, "JPEG", icc_profile=profile, exif=exif, dpi=(300, 300))
    result = await client.edit_image(Image.open(packed))
    assert result.info["icc_profile"] == profile
    assert result.getexif()[0x010E] == "a chair"
    assert tuple(map(round, result.info["dpi"])) == (300, 300)


def _gray_alpha(array: "np.ndarray[Any, Any]") -> Image.Image:
    return Image.merge("LA", [Image.fromarray(array[:, :, channel].copy()) for channel in range(2)])


def _tagged(array: "np.ndarray[Any, Any]", orientation: int) -> Image.Image:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a chair"
    packed = io.BytesIO()
    Image.fromarray(array).save(packed, "PNG", exif=exif)
    return Image.open(packed)
