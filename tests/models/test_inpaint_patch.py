"""What inpaint_patch changes in a fill, by the network that ships."""

from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.photograph import photograph
from tests.models.conftest import REPOSITORY, load


@pytest.fixture(scope="module")
def refine() -> Any:
    return load("inpaint_patch", "refiner").Refiner(REPOSITORY / "inpaint_patch" / "1")


def stripes(height: int, width: int) -> np.ndarray:
    """A picture with edges, [H, W, 3]: bars of 12 px that lean."""
    y, x = np.mgrid[:height, :width]
    return np.where(((x + y // 2) % 24 < 12)[..., None], np.array([200, 60, 40]), np.array([40, 90, 180])).astype(np.uint8)


def box(height: int, width: int, y: slice, x: slice) -> np.ndarray:
    mask = np.zeros((height, width, 1), np.uint8)
    mask[y, x] = 255
    return mask


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 3), (96, 130)])
def test_a_picture_without_a_hole_comes_back(refine: Any, height: int, width: int) -> None:
    image = stripes(height, width)
    np.testing.assert_array_equal(refine(image, np.zeros((height, width, 1), np.uint8)), image)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (7, 3), (96, 130), (200, 333)])
def test_only_the_hole_changes(refine: Any, height: int, width: int) -> None:
    image, mask = stripes(height, width), box(height, width, slice(height // 2, None), slice(width // 3, width // 2 + 1))
    given = image.copy()
    result = refine(image, mask)
    np.testing.assert_array_equal(image, given)
    np.testing.assert_array_equal(result[mask[..., 0] == 0], image[mask[..., 0] == 0])


def test_a_hole_without_surroundings_comes_back(refine: Any) -> None:
    image = stripes(64, 64)
    np.testing.assert_array_equal(refine(image, np.full((64, 64, 1), 255, np.uint8)), image)


def test_deep_in_a_hole_only_the_light_of_the_fill_changes(refine: Any) -> None:
    image, mask = stripes(160, 160), box(160, 160, slice(40, 120), slice(40, 120))
    rng = np.random.default_rng(0)
    image[40:120, 40:120] = rng.integers(98, 158, (80, 80, 1))
    change = (refine(image, mask).astype(float) - image)[64:96, 64:96]
    assert (change - cv2.GaussianBlur(change, (0, 0), 2.0)).std() < 0.2 * change.std()


def test_where_a_guide_led_the_depth_of_the_fill_stays(refine: Any) -> None:
    image, mask = stripes(160, 160), box(160, 160, slice(40, 120), slice(40, 120))
    image[40:120, 40:120] = 128
    result = refine(image, mask, np.full((160, 160, 4), 255, np.uint8))
    assert (result[62:98, 62:98] == 128).all()
    assert (result[41:44, 60:100] != 128).any()
    np.testing.assert_array_equal(refine(image, mask, np.zeros((160, 160, 4), np.uint8)), refine(image, mask))


@pytest.mark.parametrize("seed", range(3))
def test_a_fill_of_one_colour_comes_nearer_to_the_picture(refine: Any, seed: int) -> None:
    photo, rng = photograph(), np.random.default_rng(seed)
    y, x = (int(rng.integers(side - 192)) for side in photo.shape[:2])
    truth, mask = np.ascontiguousarray(photo[y : y + 192, x : x + 192]), np.zeros((192, 192, 1), np.uint8)
    for _ in range(3):
        cv2.line(mask, *(tuple(map(int, rng.integers(0, 192, 2))) for _ in range(2)), 255, 6)
    hole = mask[..., 0] > 0
    filled = np.where(mask > 0, truth[~hole].mean(axis=0), truth).astype(np.uint8)
    before, after = (np.abs(each[hole].astype(int) - truth[hole]).mean() for each in (filled, refine(filled, mask)))
    assert after < 0.8 * before
    np.testing.assert_array_equal(refine(filled, mask), refine(filled, mask))
