"""The laws of the diffusion fill: a seed stands for a picture, whatever runs beside it; known pixels stay."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.conftest import REPOSITORY, load
from tests.models.pictures import disc_mask, full_mask, texture

U8 = NDArray[np.uint8]
SIZES = [(1, 1), (3, 5), (1, 40), (14, 14), (15, 64), (97, 61), (160, 131)]


@pytest.fixture(scope="module")
def sampler() -> ModuleType:
    return load("inpaint_diffusion", "sampler")


def nothing(height: int = 1, width: int = 1) -> U8:
    return np.zeros((height, width, 4), np.uint8)


def drawn(sampler: ModuleType, picture: U8, mask: U8, seed: int = 1) -> U8:
    return sampler.fill(picture, mask, nothing(*picture.shape[:2]), nothing(), 1, seed)


def striped(side: int = 160) -> U8:
    """Stripes with grain, which a blur would lose."""
    rng = np.random.default_rng(7)
    stripes = np.where((np.arange(side) // 8 % 2)[None, :, None], 190, 60) + rng.normal(0, 4, (side, side, 3))
    return np.clip(np.rint(stripes), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_outside_the_mask_changes_and_what_is_in_it_does_not_matter(sampler: ModuleType, size: tuple[int, int]) -> None:
    picture = texture(*size)
    mask = full_mask(picture, 0)
    mask[size[0] // 3 : size[0] // 3 + max(1, size[0] // 2), size[1] // 4 : size[1] // 4 + size[1] // 2] = 255
    filled = drawn(sampler, picture, mask)
    kept = mask[..., 0] == 0
    np.testing.assert_array_equal(filled[kept], picture[kept])
    assert filled.dtype == np.uint8
    other = np.where(mask > 0, np.uint8((255, 0, 255)), picture)
    np.testing.assert_array_equal(drawn(sampler, other, mask), filled)


@pytest.mark.parametrize("size", SIZES)
def test_a_hole_that_covers_all_is_grey_and_an_empty_one_changes_nothing(sampler: ModuleType, size: tuple[int, int]) -> None:
    picture = texture(*size)
    np.testing.assert_array_equal(drawn(sampler, picture, full_mask(picture)), np.full_like(picture, 128))
    np.testing.assert_array_equal(drawn(sampler, picture, full_mask(picture, 0)), picture)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_constant_picture_stays_constant(sampler: ModuleType, value: int) -> None:
    picture = np.full((90, 110, 3), value, np.uint8)
    np.testing.assert_array_equal(drawn(sampler, picture, disc_mask(90, 110, 25)), picture)


def test_a_grey_picture_stays_grey(sampler: ModuleType) -> None:
    picture = texture(128, 128)[..., :1].repeat(3, axis=2)
    filled = drawn(sampler, picture, disc_mask(128, 128, 30)).astype(int)
    assert np.ptp(filled, axis=2).max() <= 1


@pytest.mark.parametrize("at", [(0, 0), (64, 64), (127, 127)])
def test_one_missing_pixel_is_near_its_neighbours(sampler: ModuleType, at: tuple[int, int]) -> None:
    picture = cv2.GaussianBlur(texture(128, 128), (0, 0), 3)
    mask = full_mask(picture, 0)
    mask[at] = 255
    assert np.abs(drawn(sampler, picture, mask)[at].astype(int) - picture[at]).max() < 12


def test_a_hole_along_the_border_has_no_dark_edge(sampler: ModuleType) -> None:
    picture = np.clip(texture(128, 128), 60, 255)
    mask = full_mask(picture, 0)
    mask[90:, 80:] = 255
    assert drawn(sampler, picture, mask)[90:, 80:].min() > 40


def test_seeds_differ_and_each_is_always_the_same(sampler: ModuleType) -> None:
    picture, mask = texture(192, 192), disc_mask(192, 192, 50)
    hole = mask[..., 0] > 0
    one, other = drawn(sampler, picture, mask, 1), drawn(sampler, picture, mask, 2)
    assert (one[hole] != other[hole]).any(axis=1).mean() > 0.5
    np.testing.assert_array_equal(drawn(sampler, picture, mask, 1), one)
    drawn(sampler, picture, mask, 2**64 - 1)


def test_beside_others_a_window_is_what_it_is_alone(sampler: ModuleType) -> None:
    picture = texture(96, 96)
    wanted = [(disc_mask(96, 96, radius), seed) for radius, seed in ((12, 1), (30, 2), (12, 1), (20, 3))]
    alone = [drawn(sampler, picture, *each) for each in wanted]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: drawn(sampler, picture, *each), wanted))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_another_process_with_other_threads_draws_the_same(sampler: ModuleType, threads: str) -> None:
    """There BLAS begins with that many threads; here with what the machine gives it. The model asks for one."""
    script = (
        "import hashlib, sys\n"
        "sys.path[:0] = sys.argv[1:3]\n"
        "import numpy as np, sampler\n"
        "from tests.models.pictures import disc_mask, texture\n"
        "nothing = np.zeros((192, 192, 4), np.uint8)\n"
        "filled = sampler.fill(texture(192, 192), disc_mask(192, 192, 50), nothing, nothing[:1, :1], 1, 5)\n"
        "print(hashlib.sha256(filled.tobytes()).hexdigest())\n"
    )
    there = subprocess.run(
        [sys.executable, "-c", script, REPOSITORY / "inpaint_diffusion" / "1", REPOSITORY.parent],
        env=os.environ | {"OPENBLAS_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=True,
    )
    here = drawn(sampler, texture(192, 192), disc_mask(192, 192, 50), 5)
    assert there.stdout.strip() == hashlib.sha256(here.tobytes()).hexdigest()


def test_stripes_and_grain_are_carried_on_where_telea_blurs(sampler: ModuleType) -> None:
    picture, mask = striped(), disc_mask(160, 160, 30)
    hole = mask[..., 0] > 0

    def error(filled: U8) -> float:
        return float(np.sqrt(np.mean((filled[hole].astype(float) - picture[hole]) ** 2)))

    smeared = np.asarray(cv2.inpaint(picture, mask, 5, cv2.INPAINT_TELEA), np.uint8)
    assert error(drawn(sampler, picture, mask)) < 0.4 * error(smeared)


def test_a_window_within_the_hole_follows_its_guide_with_the_grain_of_the_reference(sampler: ModuleType) -> None:
    truth, elsewhere, side = texture(160, 160), texture(160, 160, seed=1), 160
    small = cv2.resize(truth, (side // 4, side // 4), interpolation=cv2.INTER_AREA)
    smooth = np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
    guide = np.dstack([smooth, full_mask(truth)])
    reference = np.dstack([elsewhere, full_mask(elsewhere)])
    filled = sampler.fill(truth, full_mask(truth), guide, reference, 4, 1)

    def grain(picture: U8) -> float:
        values = picture.astype(np.float32)
        return float(np.square(values - cv2.GaussianBlur(values, (0, 0), 2))[12:-12, 12:-12].mean())

    def tone(picture: U8) -> NDArray[np.float32]:
        return cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 6)

    assert np.abs(tone(filled) - tone(truth))[12:-12, 12:-12].mean() < 6
    assert grain(smooth) < 0.5 * grain(filled)
    alone = sampler.fill(truth, full_mask(truth), guide, nothing(), 4, 1)
    np.testing.assert_allclose(alone.astype(int), smooth, atol=2, err_msg="without a known pixel the guide is all there is")
