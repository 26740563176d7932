"""The laws of the classical fill, and that it is worth having beside OpenCV's."""

from types import ModuleType

import cv2
import numpy as np
import pytest

from tests.models.pictures import disc_mask, full_mask, texture

SIZES = [(1, 1), (3, 5), (5, 3), (1, 40), (14, 14), (15, 64), (97, 61)]


@pytest.mark.parametrize("size", SIZES)
def test_nothing_outside_the_mask_changes(exemplar: ModuleType, size: tuple[int, int]) -> None:
    picture = texture(*size)
    mask = np.zeros((*size, 1), np.uint8)
    mask[size[0] // 3 : size[0] // 3 + size[0] // 2, size[1] // 4 : size[1] // 4 + size[1] // 2] = 255
    filled = exemplar.fill(picture, mask)
    assert filled.shape == picture.shape
    assert filled.dtype == np.uint8
    kept = mask[..., 0] == 0
    np.testing.assert_array_equal(filled[kept], picture[kept])


@pytest.mark.parametrize("size", SIZES)
def test_an_empty_mask_gives_the_picture_back(exemplar: ModuleType, size: tuple[int, int]) -> None:
    picture = texture(*size)
    np.testing.assert_array_equal(exemplar.fill(picture, full_mask(picture, 0)), picture)


@pytest.mark.parametrize("size", SIZES)
def test_a_full_mask_is_answered_without_looking(exemplar: ModuleType, size: tuple[int, int]) -> None:
    one = exemplar.fill(texture(*size, seed=1), full_mask(texture(*size)))
    other = exemplar.fill(texture(*size, seed=2), full_mask(texture(*size)))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("radius", [3, 12, 30])
def test_the_fill_does_not_depend_on_what_is_in_the_hole(exemplar: ModuleType, radius: int) -> None:
    picture, mask = texture(120, 140), disc_mask(120, 140, radius)
    other = picture.copy()
    other[mask[..., 0] > 0] = (255, 0, 255)
    np.testing.assert_array_equal(exemplar.fill(picture, mask), exemplar.fill(other, mask))


def test_the_same_input_gives_the_same_fill(exemplar: ModuleType) -> None:
    # Large enough for the random search (below that every level is searched exhaustively), and for liveliness to count.
    picture, mask = texture(300, 300), disc_mask(300, 300, 70)
    np.testing.assert_array_equal(exemplar.fill(picture, mask), exemplar.fill(picture, mask))


def test_any_soft_value_is_hole(exemplar: ModuleType) -> None:
    picture, mask = texture(60, 60), disc_mask(60, 60, 9)
    np.testing.assert_array_equal(exemplar.fill(picture, mask // 255), exemplar.fill(picture, mask))


def test_a_hole_at_the_border_and_a_single_known_pixel(exemplar: ModuleType) -> None:
    picture = texture(50, 70)
    mask = full_mask(picture)
    mask[0, 0] = 0
    filled = exemplar.fill(picture, mask)
    assert np.abs(filled.astype(int) - picture[0, 0]).max() <= 1
    half = full_mask(picture, 0)
    half[:, 35:] = 255
    np.testing.assert_array_equal(exemplar.fill(picture, half)[:, :35], picture[:, :35])


def test_a_constant_picture_stays_constant(exemplar: ModuleType) -> None:
    picture = np.full((90, 90, 3), (10, 200, 77), np.uint8)
    np.testing.assert_array_equal(exemplar.fill(picture, disc_mask(90, 90, 25)), picture)


def test_a_membrane_keeps_between_its_bounds_and_follows_a_slope(exemplar: ModuleType) -> None:
    slope = np.repeat(np.linspace(0, 100, 64, dtype=np.float32)[None, :, None], 48, 0).repeat(3, 2)
    known = disc_mask(48, 64, 15)[..., 0] == 0
    across = exemplar.membrane(np.where(known[..., None], slope, 0).astype(np.float32), known)
    assert np.abs(across - slope).max() < 1.5
    assert across.min() >= 0
    assert across.max() <= 100


def test_stripes_and_grain_are_carried_on_where_telea_blurs(exemplar: ModuleType) -> None:
    rng = np.random.default_rng(7)
    stripes = np.where((np.arange(160) // 8 % 2)[None, :, None], 190, 60) + rng.normal(0, 4, (160, 160, 3))
    picture = np.clip(np.rint(stripes), 0, 255).astype(np.uint8)
    mask = disc_mask(160, 160, 30)
    hole = mask[..., 0] > 0

    def error(filled: np.ndarray) -> float:
        return float(np.sqrt(np.mean((filled[hole].astype(float) - picture[hole]) ** 2)))

    assert error(exemplar.fill(picture, mask)) < 0.4 * error(cv2.inpaint(picture, mask, 5, cv2.INPAINT_TELEA))


def test_a_deep_hole_is_lively_where_its_surroundings_are_and_calm_where_they_are_calm(exemplar: ModuleType) -> None:
    # Noise below, next to none above, in one tone: colour alone cannot tell them apart, and it was calm throughout (0.02).
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (320, 320)).astype(np.float32), (0, 0), 1.0)
    noise *= np.where(np.arange(320) < 160, 2, 25)[:, None] / noise.std()
    picture = np.clip(np.rint(128 + noise), 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    mask = disc_mask(320, 320, 80)
    hole, below, above = mask[:, 1:, 0] > 0, (np.arange(320) > 175)[:, None], (np.arange(320) < 145)[:, None]

    def energy(pixels: np.ndarray, where: np.ndarray) -> float:
        return float(np.square(np.diff(pixels[..., 0].astype(float), axis=1))[where].mean())

    filled, lively = exemplar.fill(picture, mask), energy(picture, ~hole & below)
    assert 0.4 < energy(filled, hole & below) / lively < 1.2
    assert energy(filled, hole & above) < 0.02 * lively


def test_liveliness_is_that_of_known_pixels_alone(exemplar: ModuleType) -> None:
    picture, hole = texture(60, 70).astype(np.float32), disc_mask(60, 70, 12)[..., 0] > 0
    lively = exemplar._liveliness(np.where(hole[..., None], 0, picture).astype(np.float32), hole)
    assert lively.shape == (60, 70, 2)
    assert not lively[hole].any()
    ramp = np.broadcast_to(np.arange(70, dtype=np.float32)[None, :, None], (60, 70, 3)).copy()
    ramp[hole] = 0  # a step at the hole's edge, which is not the picture's
    steps = exemplar._liveliness(ramp, hole)[:, :50][~hole[:, :50]] / exemplar.LIVELINESS
    np.testing.assert_allclose(steps[:, 0], 1.0, atol=1e-3)
    np.testing.assert_allclose(steps[:, 1], 0.0, atol=1e-3)


@pytest.mark.parametrize("channels", [3, 5])
def test_liveliness_is_scaled_to_a_mean_and_colour_stays(exemplar: ModuleType, channels: int) -> None:
    picture = np.random.default_rng(1).uniform(0, 9, (40, 50, channels)).astype(np.float32)
    hole, mean = disc_mask(40, 50, 12)[..., 0] > 0, np.array([7, 2], np.float32)[: channels - 3]
    scaled = exemplar._as_lively(picture.copy(), hole, mean)
    np.testing.assert_array_equal(scaled[..., :3], picture[..., :3])
    np.testing.assert_array_equal(scaled[~hole], picture[~hole])
    np.testing.assert_allclose(scaled[hole, 3:].mean(axis=0), mean, rtol=1e-4)


def test_a_hole_is_due_to_be_as_lively_as_its_first_guess_and_its_rim_are(exemplar: ModuleType) -> None:
    # One level from pixel to pixel, across; the guess has four both ways.
    picture, hole = np.zeros((300, 300, 3), np.float32), disc_mask(300, 300, 70)[..., 0] > 0
    picture[:] = np.arange(300, dtype=np.float32)[None, :, None]
    picture[hole] = 0
    level = exemplar._pyramid(picture, hole)[-1]
    guess = np.where(level.hole[..., None], 4 * exemplar.LIVELINESS, level.picture)
    due = exemplar._due_liveliness(level, guess) / exemplar.LIVELINESS
    np.testing.assert_allclose(due[0], np.sqrt(4 * 1), rtol=0.05)
    assert due[1] < 0.1
    shallow = exemplar._pyramid(picture, disc_mask(300, 300, 60)[..., 0] > 0)[-1]
    assert exemplar._due_liveliness(shallow, shallow.picture).size == 0
