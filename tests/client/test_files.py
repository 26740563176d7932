"""From file to file: pixels, metadata and orientation are right, memory stays small, a file is there whole or not at all."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms, ImageOps

from retouch import InvalidInputError, ProtocolError, RetouchClient, ServiceError, TileReady
from retouch.testing import Code, FakeServer, Fault, Lie
from tests.client.support import enlarged

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def pixels(path: Path) -> "np.ndarray[Any, Any]":
    return np.asarray(opened(path))


def opened(path: Path) -> Image.Image:
    """The image, with its pixels and metadata read and the file closed."""
    with Image.open(path) as image:
        image.load()
        return image.copy()


def save(path: Path, array: "np.ndarray[Any, Any]", **options: Any) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
@pytest.mark.parametrize("layout", [(), (3,), (4,)], ids=str)
@pytest.mark.parametrize("size", [(1, 1), (2, 3000), (900, 700)], ids=str)
async def test_lossless_files_come_out_exactly(
    suffix: str, layout: tuple[int, ...], size: tuple[int, int], client: RetouchClient, rng: np.random.Generator, tmp_path: Path
) -> None:
    source = save(tmp_path / "in.png", rng.integers(0, 256, (*size, *layout), dtype=np.uint8))
    out = await client.edit_file(source, tmp_path / f"out{suffix}", scale=2)
    np.testing.assert_array_equal(pixels(out), enlarged(pixels(source), 2))


async def test_gray_with_alpha_stays_so(client: RetouchClient, rng: np.random.Generator, tmp_path: Path) -> None:
    planes = [Image.fromarray(rng.integers(0, 256, (50, 60), dtype=np.uint8)) for _ in range(2)]
    Image.merge("LA", planes).save(tmp_path / "in.png")
    await client.edit_file(tmp_path / "in.png", tmp_path / "out.png")
    assert opened(tmp_path / "out.png").mode == "LA"
    np.testing.assert_array_equal(pixels(tmp_path / "out.png"), pixels(tmp_path / "in.png"))


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
async def test_lossy_files_come_out_close(suffix: str, client: RetouchClient, rng: np.random.Generator, tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((400, 300)))
    out = await client.edit_file(save(tmp_path / "in.png", smooth), tmp_path / f"out{suffix}")
    assert np.abs(pixels(out).astype(int) - smooth).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png"])
async def test_files_are_sent_and_come_out_upright(
    orientation: int, kind: str, client: RetouchClient, fake: FakeServer, rng: np.random.Generator, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a chair"
    array = rng.integers(0, 256, (300, 417, 3), dtype=np.uint8)
    source = save(tmp_path / f"in.{kind}", array, exif=exif, icc_profile=PROFILE)
    mask = save(tmp_path / "mask.png", array[:, :, 0])
    out = await client.edit_file(source, tmp_path / "out.png", mask)
    upright = ImageOps.exif_transpose(opened(source))
    np.testing.assert_array_equal(pixels(out), np.asarray(upright))
    result = opened(out)
    assert result.getexif().get(0x0112, 1) == 1
    assert result.getexif()[0x010E] == "a chair"
    assert result.info["icc_profile"] == PROFILE
    sent = np.frombuffer(fake.opened[0].mask.inline_png, np.uint8)
    mask_sent = pyvips.Image.new_from_buffer(sent.tobytes(), "").numpy()
    expected = ImageOps.exif_transpose(_with_exif(array[:, :, 0], orientation, tmp_path))
    np.testing.assert_array_equal(mask_sent, np.asarray(expected))


def _with_exif(array: "np.ndarray[Any, Any]", orientation: int, tmp_path: Path) -> Image.Image:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return opened(save(tmp_path / "tagged.png", array, exif=exif))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
async def test_profile_exif_and_xmp_are_kept(suffix: str, client: RetouchClient, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a chair"
    exif[0x0112] = 6
    source = save(
        tmp_path / "in.jpg", np.full((40, 60, 3), 90, np.uint8), exif=exif, icc_profile=PROFILE, xmp=XMP, dpi=(300, 300)
    )
    out = await client.edit_file(source, tmp_path / f"out{suffix}")
    header = pyvips.Image.new_from_file(str(out))
    assert header.get("icc-profile-data") == PROFILE
    assert header.get("xmp-data") == XMP.replace(b'"6"', b'"1"')
    if suffix != ".tif":  # libvips writes no EXIF block into TIFF
        assert "a chair" in header.get("exif-ifd0-ImageDescription")
    if header.get_typeof("orientation"):
        assert header.get("orientation") == 1
    if suffix != ".webp":
        assert round(header.xres * 25.4) == 300


async def test_a_palette_comes_out_as_rgb(client: RetouchClient, rng: np.random.Generator, tmp_path: Path) -> None:
    image = Image.fromarray(rng.integers(0, 256, (50, 60, 3), dtype=np.uint8)).convert("P")
    image.save(tmp_path / "in.png")
    await client.edit_file(tmp_path / "in.png", tmp_path / "out.png")
    np.testing.assert_array_equal(pixels(tmp_path / "out.png"), np.asarray(image.convert("RGB")))


async def test_one_bit_comes_out_as_gray(client: RetouchClient, rng: np.random.Generator, tmp_path: Path) -> None:
    image = Image.fromarray(rng.integers(0, 2, (50, 60)).astype(bool))
    image.save(tmp_path / "in.png")
    await client.edit_file(tmp_path / "in.png", tmp_path / "out.png")
    np.testing.assert_array_equal(pixels(tmp_path / "out.png"), np.asarray(image.convert("L")))


async def test_16_bits_become_8_with_a_warning(client: RetouchClient, tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", np.array([[0, 128, 129, 257, 65535]], np.uint16))
    call = client.edit_file(source, tmp_path / "out.png")
    np.testing.assert_array_equal(pixels(await call), [[0, 0, 1, 1, 255]])
    assert ["16 bits" in warning for warning in call.report.warnings] == [True]


async def test_cmyk_becomes_srgb_with_a_warning(client: RetouchClient, tmp_path: Path) -> None:
    Image.new("CMYK", (30, 20), (0, 0, 0, 0)).save(tmp_path / "in.jpg")
    call = client.edit_file(tmp_path / "in.jpg", tmp_path / "out.png")
    assert pixels(await call).min() > 250
    assert ["CMYK" in warning for warning in call.report.warnings] == [True]


async def test_a_failure_leaves_no_file_and_changes_none(
    client: RetouchClient, fake: FakeServer, rng: np.random.Generator, tmp_path: Path
) -> None:
    source = save(tmp_path / "in.png", rng.integers(0, 256, (900, 800, 3), dtype=np.uint8))
    (tmp_path / "kept.png").write_bytes(b"what was there before")
    for fault in (Fault(Code.INTERNAL, "MODEL_FAULT", after_tiles=2), Lie("no_done"), Lie("gap"), Fault(Code.INTERNAL)):
        for name in ("new.png", "kept.png"):
            fake.script(fault)
            with pytest.raises((ServiceError, ProtocolError)):
                await client.edit_file(source, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["in.png", "kept.png"]
    assert (tmp_path / "kept.png").read_bytes() == b"what was there before"


async def test_a_cancelled_edit_leaves_no_file(client: RetouchClient, rng: np.random.Generator, tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", rng.integers(0, 256, (900, 800, 3), dtype=np.uint8))
    async with client.edit_file(source, tmp_path / "out.png", scale=4) as call:
        async for event in call:
            if isinstance(event, TileReady):
                break
    assert os.listdir(tmp_path) == ["in.png"]


async def test_an_edit_cancelled_while_it_encodes_leaves_no_file(
    client: RetouchClient, rng: np.random.Generator, tmp_path: Path
) -> None:
    source = save(tmp_path / "in.png", rng.integers(0, 256, (1500, 1500, 3), dtype=np.uint8))
    call = client.edit_file(source, tmp_path / "out.png", scale=2)

    async def drive() -> None:
        await call

    task = asyncio.create_task(drive())
    while not any(name.endswith(".png") and name.startswith(".") for name in os.listdir(tmp_path)):
        assert not task.done()
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert os.listdir(tmp_path) == ["in.png"]


async def test_a_passing_fault_in_the_middle_is_made_good(
    client: RetouchClient, fake: FakeServer, rng: np.random.Generator, tmp_path: Path
) -> None:
    source = save(tmp_path / "in.png", rng.integers(0, 256, (900, 800, 3), dtype=np.uint8))
    fake.script(Fault(Code.UNAVAILABLE, "DRAINING", after_tiles=2))
    np.testing.assert_array_equal(pixels(await client.edit_file(source, tmp_path / "out.png")), pixels(source))
    assert sorted(os.listdir(tmp_path)) == ["in.png", "out.png"]


@pytest.mark.parametrize("name", ["out.gif", "out", "missing/out.png", "out.jpg"])
async def test_destinations_that_cannot_work_are_refused_before_anything_is_sent(
    name: str, client: RetouchClient, fake: FakeServer, tmp_path: Path
) -> None:
    source = save(tmp_path / "in.png", np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(InvalidInputError, match="out"):
        await client.edit_file(source, tmp_path / name)
    assert fake.opened == []


async def test_sizes_that_a_format_does_not_take_are_refused(client: RetouchClient, tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", np.zeros((2, 9000, 3), np.uint8))
    with pytest.raises(InvalidInputError, match="16383"):
        await client.edit_file(source, tmp_path / "out.webp", scale=2)


async def test_damaged_files_are_bad_input(client: RetouchClient, rng: np.random.Generator, tmp_path: Path) -> None:
    whole = save(tmp_path / "in.png", rng.integers(0, 256, (900, 800, 3), dtype=np.uint8)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "junk.png").write_bytes(b"junk")
    for name in ("cut.png", "junk.png", "absent.png"):
        with pytest.raises(InvalidInputError, match=name):
            await client.edit_file(tmp_path / name, tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


async def test_a_file_that_turns_out_damaged_while_it_is_sent_is_bad_input(
    client: RetouchClient, rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retouch.files import FileSource

    whole = save(tmp_path / "in.png", rng.integers(0, 256, (3000, 800, 3), dtype=np.uint8))
    shrunk = FileSource.shrunk

    def shrunk_then_cut(source: FileSource, factor: int) -> object:
        blocks = shrunk(source, factor)
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        return blocks

    monkeypatch.setattr(FileSource, "shrunk", shrunk_then_cut)
    with pytest.raises(InvalidInputError, match="cannot read"):
        await client.edit_file(whole, tmp_path / "out.png", text_removal="always")  # for which a proxy is made first
    assert os.listdir(tmp_path) == ["in.png"]


def test_memory_does_not_grow_with_the_height(tmp_path: Path) -> None:
    """The fake runs in the same process and holds a few tiles; the image has 96 MB of pixels."""
    script = """
import asyncio, resource, sys
from retouch import RetouchClient
from retouch.testing import FakeServer
async def main():
    async with FakeServer() as fake, RetouchClient(fake.target) as client:
        await client.edit_file(sys.argv[1], sys.argv[2])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
asyncio.run(main())
"""
    peaks = []
    for height in (2000, 32000):
        pyvips.Image.black(1000, height, bands=3).write_to_file(str(tmp_path / "in.png"), compression=1)
        command = [sys.executable, "-c", script, str(tmp_path / "in.png"), str(tmp_path / "out.png")]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(ran.stdout))
    assert peaks[1] - peaks[0] < 48, peaks
