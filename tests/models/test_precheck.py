"""The precheck's scores: their range, what they look at, and that they tell text and texture from their absence."""

from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from tests.models.pictures import captioned, disc_mask, full_mask, texture


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 300), (40, 60), (300, 500)])
@pytest.mark.parametrize("value", [0, 1, 255])
def test_two_numbers_between_0_and_1_for_any_size(precheck: Any, size: tuple[int, int], value: int) -> None:
    picture = texture(*size)
    scores = precheck.scores(picture, full_mask(picture, value))
    assert scores.shape == (2,)
    assert scores.dtype == np.float32
    assert (scores >= 0).all()
    assert (scores <= 1).all()
    assert value > 0 or not scores.any()


def test_the_same_input_gives_the_same_scores(precheck: Any) -> None:
    drawn, changed = captioned(texture(160, 320))
    mask = cv2.dilate(changed, np.ones((9, 9), np.uint8))[..., None]
    np.testing.assert_array_equal(precheck.scores(drawn, mask), precheck.scores(drawn, mask))


@pytest.mark.parametrize("colour", [0, 255])
def test_a_caption_is_text_and_its_background_is_not(precheck: Any, colour: int) -> None:
    plain = texture(160, 320)
    drawn, changed = captioned(plain, colour=colour)
    mask = full_mask(plain, 0)
    ys, xs = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    mask[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1] = 255
    assert precheck.scores(drawn, mask)[0] > 0.7
    assert precheck.scores(plain, mask)[0] < 0.3


def test_sharp_grain_is_too_fine_for_a_proxy_and_a_blur_is_not(precheck: Any) -> None:
    rng = np.random.default_rng(3)
    grain = np.repeat(rng.integers(60, 200, (120, 160, 1)), 3, 2).astype(np.uint8)
    mask = disc_mask(120, 160, 20)
    assert precheck.scores(grain, mask)[1] > 0.9
    assert precheck.scores(cv2.GaussianBlur(grain, (0, 0), 4.0), mask)[1] < 0.1


def test_texture_is_judged_around_the_region_not_in_it(precheck: Any) -> None:
    picture = np.full((120, 160, 3), 128, np.uint8)
    mask = disc_mask(120, 160, 20)
    inside = mask[..., 0] > 0
    picture[inside] = np.random.default_rng(4).integers(0, 256, (int(inside.sum()), 3))
    assert precheck.scores(picture, mask)[1] < 0.1


@pytest.mark.parametrize(("size", "count"), [((100, 100), 1), ((160, 160), 1), ((161, 90), 2), ((700, 900), 4)])
def test_crops_hold_the_region_at_its_own_resolution(cropping: ModuleType, size: tuple[int, int], count: int) -> None:
    piece = texture(*size)
    region = np.zeros(size, np.uint8)
    region[size[0] // 2 :, size[1] // 2 :] = 1
    shown, weights = cropping.crops(piece, np.dstack([region, cropping.ring(region)]))
    assert shown.shape[0] == weights.shape[0] == count
    assert shown.shape[1] == shown.shape[2] <= cropping.CROP_PX
    assert shown.shape[1] % cropping.GRID_PX == 0
    assert weights[..., 0].any(axis=(1, 2)).sum() >= min(count, 2)
    if count == 1:
        np.testing.assert_array_equal(shown[0][: size[0], : size[1]], piece)
        np.testing.assert_array_equal(weights[0, : size[0], : size[1], 0], region)
        assert not weights[0, size[0] :].any()
