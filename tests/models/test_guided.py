"""The classical fill with a guide: laws, and that it brings back the detail which a guide lacks."""

from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.conftest import load
from tests.models.pictures import disc_mask, full_mask, texture

U8 = NDArray[np.uint8]
SIDE, GUIDE_PX = 160, 4


@pytest.fixture(scope="module")
def guided() -> ModuleType:
    load("inpaint_classical", "exemplar")
    return load("inpaint_classical", "guided")


def leaves(height: int, width: int, seed: int = 0) -> U8:
    """A picture whose detail hangs on its tone: blotches, lively where they are dark."""
    rng = np.random.default_rng(seed)
    slow = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 14)
    slow *= 45 / slow.std()
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 0.8)
    grain *= np.where(slow < 0, 22, 6) / grain.std()
    return np.clip(np.rint(128 + slow + grain), 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def guide_of(picture: U8, confidence: int = 255) -> U8:
    """The picture as a fill of a quarter of its size would show it."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (width // GUIDE_PX, height // GUIDE_PX), interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.dstack([large, np.full((height, width), confidence, np.uint8)]).astype(np.uint8)


def nothing(height: int = 1, width: int = 1) -> U8:
    return np.zeros((height, width, 4), np.uint8)


def known(picture: U8) -> U8:
    return np.dstack([picture, full_mask(picture)])


def energy(picture: U8, where: Any) -> float:
    values = picture.astype(np.float32)
    return float(np.square(values - cv2.GaussianBlur(values, (0, 0), 2))[where].mean())


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (97, 61), (160, 160)])
def test_without_confidence_nothing_is_different(exemplar: ModuleType, guided: ModuleType, size: tuple[int, int]) -> None:
    picture, mask = texture(*size), disc_mask(*size, min(size) // 4)
    plain = exemplar.fill(picture, mask)
    told = guided.fill_guided(picture, mask, guide_of(texture(160, 160))[: size[0], : size[1]] * 0, known(picture), GUIDE_PX)
    np.testing.assert_array_equal(told, plain)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (20, 300), (97, 61), (160, 160)])
@pytest.mark.parametrize("guide_px", [1, 3, 11])
def test_nothing_outside_the_mask_changes(guided: ModuleType, size: tuple[int, int], guide_px: int) -> None:
    picture = texture(*size)
    mask = full_mask(picture, 0)
    mask[size[0] // 3 :, size[1] // 4 :] = 255
    guide = np.dstack([texture(*size, seed=1), full_mask(picture)])
    filled = guided.fill_guided(picture, mask, guide, nothing(), guide_px)
    kept = mask[..., 0] == 0
    np.testing.assert_array_equal(filled[kept], picture[kept])
    assert filled.shape == picture.shape


def test_the_fill_does_not_depend_on_what_is_in_the_hole_and_is_the_same_each_time(guided: ModuleType) -> None:
    picture, mask = leaves(SIDE, SIDE), disc_mask(SIDE, SIDE, 60)
    other = picture.copy()
    other[mask[..., 0] > 0] = (255, 0, 255)
    guide = guide_of(picture)
    first = guided.fill_guided(picture, mask, guide, nothing(), GUIDE_PX)
    np.testing.assert_array_equal(guided.fill_guided(other, mask, guide, nothing(), GUIDE_PX), first)


def test_a_window_within_the_hole_follows_its_guide_with_the_detail_of_the_reference(guided: ModuleType) -> None:
    """No known pixel in the window: tone from the guide, detail from elsewhere, as much of it as the truth has."""
    truth, elsewhere = leaves(SIDE, SIDE), leaves(SIDE, SIDE, seed=1)
    mask, inner = full_mask(truth), np.s_[12:-12, 12:-12]
    filled = guided.fill_guided(truth, mask, guide_of(truth), known(elsewhere), GUIDE_PX)
    tone = cv2.GaussianBlur(filled.astype(np.float32), (0, 0), 6) - cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 6)
    assert np.abs(tone[inner]).mean() < 4
    smooth = guide_of(truth)[..., :3]
    assert energy(smooth, inner) < 0.3 * energy(truth, inner)
    assert 0.7 < energy(filled, inner) / energy(truth, inner) < 1.3
    dark = cv2.GaussianBlur(truth, (0, 0), 6)[..., 0] < 100
    bright = cv2.GaussianBlur(truth, (0, 0), 6)[..., 0] > 156
    assert energy(filled, dark) > 3 * energy(filled, bright), "detail is where it belongs"


def test_without_any_known_pixel_the_guide_itself_is_the_answer(guided: ModuleType) -> None:
    truth = leaves(SIDE, SIDE)
    filled = guided.fill_guided(truth, full_mask(truth), guide_of(truth), nothing(), GUIDE_PX)
    difference = cv2.GaussianBlur(filled, (0, 0), 6).astype(float) - cv2.GaussianBlur(guide_of(truth)[..., :3], (0, 0), 6)
    assert np.abs(difference).mean() < 2


def test_windows_that_share_an_area_agree_in_what_the_guide_says(guided: ModuleType) -> None:
    truth = leaves(SIDE, 2 * SIDE)
    guide, mask = guide_of(truth), full_mask(truth)
    left, right = (
        guided.fill_guided(truth[:, cut], mask[:, cut], guide[:, cut], known(leaves(SIDE, SIDE, seed=2)), GUIDE_PX)
        for cut in (slice(0, 200), slice(120, 320))
    )
    shared = left[:, 130:190].astype(np.float32), right[:, 10:70].astype(np.float32)
    tones = [cv2.GaussianBlur(part, (0, 0), 6) for part in shared]
    assert np.abs(tones[0] - tones[1]).mean() < 3


def test_a_hole_beside_the_deep_one_is_filled_as_ever(guided: ModuleType) -> None:
    picture, mask = texture(SIDE, SIDE), disc_mask(SIDE, SIDE, 40)
    mask[4:12, 4:12] = 255
    guide = guide_of(picture)
    guide[:30, :30] = 0
    filled = guided.fill_guided(picture, mask, guide, nothing(), GUIDE_PX)
    assert np.abs(filled[4:12, 4:12].astype(int) - picture[4:12, 4:12]).mean() < 12


def test_a_constant_picture_stays_constant(guided: ModuleType) -> None:
    picture = np.full((SIDE, SIDE, 3), (10, 200, 77), np.uint8)
    filled = guided.fill_guided(picture, disc_mask(SIDE, SIDE, 60), guide_of(picture), nothing(), GUIDE_PX)
    assert np.abs(filled.astype(int) - picture).max() <= 1
