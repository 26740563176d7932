"""Masks: every kind becomes the same rows and digest; big ones are stored once; stale ones are refused."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retouch import InvalidInputError, MaskNotFoundError, MaskReference, RetouchClient, StaleMaskError, VersionConflictError
from retouch.geometry import Size
from retouch.png import GrayPngWriter, decoded
from retouch.testing import FakeServer

SHAPE = (60, 80)


@pytest.fixture
def image(rng: np.random.Generator) -> "np.ndarray[Any, Any]":
    return rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


@pytest.fixture
def gray(rng: np.random.Generator) -> "np.ndarray[Any, Any]":
    return rng.integers(0, 256, SHAPE, dtype=np.uint8)


def digest(array: "np.ndarray[Any, Any]") -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
@pytest.mark.parametrize("is_file", [False, True])
async def test_a_masks_digest_is_that_of_its_luma(
    mode: str, is_file: bool, client: RetouchClient, image: Any, rng: np.random.Generator, tmp_path: Path
) -> None:
    mask = Image.fromarray(rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)).convert(mode)
    expected = hashlib.sha256(mask.convert("L").tobytes()).hexdigest()
    mask.save(tmp_path / "mask.png")
    call = client.edit(image, tmp_path / "mask.png" if is_file else mask)
    np.testing.assert_array_equal(await call, image)
    assert call.report.mask_digest == expected


async def test_arrays_and_booleans_are_masks(client: RetouchClient, image: Any, gray: Any, fake: FakeServer) -> None:
    call = client.edit(image, gray)
    await call
    assert call.report.mask_digest == digest(gray)
    await client.edit_image(image, gray > 100)
    sent = np.asarray(Image.open(io.BytesIO(fake.opened[-1].mask.inline_png)))
    np.testing.assert_array_equal(sent, np.where(gray > 100, 255, 0))


async def test_a_mask_of_another_size_is_refused_naming_both(client: RetouchClient, image: Any, fake: FakeServer) -> None:
    with pytest.raises(InvalidInputError, match=r"mask is 80x60 .* image is 60x80"):
        await client.edit_image(image, np.zeros((80, 60), bool))
    assert fake.opened == []


async def test_masks_that_are_likely_mistakes_are_warned_about(client: RetouchClient, image: Any) -> None:
    for mask, words in ((np.zeros(SHAPE, np.uint8), "empty"), (np.ones(SHAPE, np.uint8), "highest value is 1")):
        call = client.edit(image, mask)
        await call
        assert [words in warning for warning in call.report.warnings] == [True]


async def test_a_large_mask_is_stored_once_and_referenced(
    client: RetouchClient, fake: FakeServer, rng: np.random.Generator
) -> None:
    image = np.zeros((1000, 1100, 3), np.uint8)
    mask = rng.integers(0, 256, (1000, 1100), dtype=np.uint8)
    for _ in range(2):
        call = client.edit(image, mask)
        await call
        assert (call.report.mask_digest, call.report.mask_version) == (digest(mask), 1)
    assert (await client.precheck(image, mask)).mask_digest == digest(mask)
    reference = fake.opened[0].mask.reference
    assert reference.image_id == f"auto:sha256:{digest(mask)}:1000x1100"
    assert (await client.masks.list(reference.image_id))[0].version == 1


async def test_masks_are_versioned(client: RetouchClient, gray: Any, image: Any) -> None:
    first = await client.masks.put("shot-17", gray)
    assert (first.version, first.digest, first.size) == (1, digest(gray), Size(*SHAPE))
    assert first.created.tzinfo is not None
    assert await client.masks.put("shot-17", gray) == first  # the same content: no new version, no conflict
    second = await client.masks.put("shot-17", 255 - gray, expected_version=1)
    assert [each.version for each in await client.masks.list("shot-17")] == [2, 1]
    assert [each.version for each in await client.masks.list("shot-17", before_version=2)] == [1]
    assert [each.version for each in await client.masks.list("shot-17", limit=1)] == [2]
    assert await client.masks.list("unknown") == []
    np.testing.assert_array_equal((await client.masks.get("shot-17")).pixels, 255 - gray)
    np.testing.assert_array_equal((await client.masks.get("shot-17", version=1)).pixels, gray)
    with pytest.raises(VersionConflictError) as conflict:
        await client.masks.put("shot-17", gray, expected_version=1)
    assert conflict.value.metadata["current_version"] == "2"
    with pytest.raises(MaskNotFoundError):
        await client.masks.get("shot-17", version=9)
    await client.edit_image(image, second.reference())
    with pytest.raises(StaleMaskError) as stale:
        await client.edit_image(image, first.reference())
    assert stale.value.metadata["current_digest"] == second.digest


def test_a_reference_must_be_pinned() -> None:
    with pytest.raises(InvalidInputError, match="pinned"):
        MaskReference("shot-17")


async def test_a_suggested_mask_has_the_images_size(client: RetouchClient, fake: FakeServer) -> None:
    from retouch import Rect

    fake.suggested_boxes = [Rect(100, 200, 50, 60)]
    suggested = await client.masks.suggest(np.zeros((2048, 1024, 3), np.uint8))
    assert suggested.proxy_mask.shape == (1024, 512)
    assert suggested.proxy_boxes == (Rect(100, 200, 50, 60),)
    assert suggested.pixels.shape == (2048, 1024)
    assert (suggested.pixels[250, 450], suggested.pixels[0, 0]) == (255, 0)


@pytest.mark.parametrize("orientation", range(2, 9))
async def test_a_mask_without_a_tag_is_turned_with_its_image(
    orientation: int, client: RetouchClient, fake: FakeServer, rng: np.random.Generator
) -> None:
    stored = rng.integers(0, 256, (30, 40), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    packed = io.BytesIO()
    Image.fromarray(stored).save(packed, "PNG", exif=exif)
    call = client.edit(Image.open(packed), stored)
    result = np.asarray(await call)
    np.testing.assert_array_equal(decoded(fake.opened[0].mask.inline_png)[:, :, 0], result)
    packed_mask = Image.open(packed)  # a mask with a tag of its own is believed
    await client.edit_image(Image.open(packed), packed_mask)
    np.testing.assert_array_equal(decoded(fake.opened[1].mask.inline_png)[:, :, 0], result)
    if orientation > 4:  # only the upright size fits
        await client.edit_image(Image.open(packed), result)
        np.testing.assert_array_equal(decoded(fake.opened[2].mask.inline_png)[:, :, 0], result)
    else:
        assert any("EXIF orientation" in warning for warning in call.report.warnings)


def test_pngs_are_written_in_any_cut(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 4, (100, 37), dtype=np.uint8)
    writer = GrayPngWriter(Size(100, 37))
    for y in range(0, 100, 7):
        writer.add(pixels[y : y + 7])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(writer.finish()))), pixels)
