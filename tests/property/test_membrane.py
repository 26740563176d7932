"""The membrane: what it takes off, and what it leaves alone."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retouch_server.imaging.membrane import harmonic, match_tone
from tests.models.pictures import texture
from tests.support.wire import noise

Image = NDArray[np.uint8]


def disc(height: int, width: int, radius: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[:height, :width]
    return np.hypot(y - height // 2, x - width // 2) < radius


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_a_fill_that_matches_is_left_alone_and_outside_the_hole_nothing_is_touched(
    height: int, width: int, channels: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    source, fill = (draw.integers(0, 256, (height, width, channels), np.uint8) for _ in range(2))
    hole = draw.random((height, width)) < draw.random()
    assert np.array_equal(match_tone(source, source, hole), source)
    assert np.array_equal(match_tone(source, fill, hole)[~hole], fill[~hole])


@settings(max_examples=30, deadline=None)
@given(st.integers(-20, 20), st.integers(40, 200), st.integers(1, 30), st.integers(20, 90), st.integers(20, 90))
def test_a_constant_offset_is_taken_off_exactly(offset: int, grey: int, radius: int, height: int, width: int) -> None:
    source, hole = np.full((height, width, 3), grey, np.uint8), disc(height, width, radius)
    drifted = (source.astype(int) + offset).astype(np.uint8)
    if (~hole)[distance_in_reach(hole)].any():
        assert np.array_equal(match_tone(source, drifted, hole)[hole], source[hole])


def distance_in_reach(hole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What lies 3 to 6 px beside the hole."""
    distance = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 3)
    return (distance > 2) & (distance <= 6)


@pytest.mark.parametrize("radius", [3, 12, 60])
def test_a_texture_keeps_its_grain_while_its_drift_goes(radius: int) -> None:
    truth, hole = texture(200, 260), disc(200, 260, radius)
    slope = np.linspace(-6, 6, 260)[None, :, None]
    drifted = np.clip(np.rint(truth * 1.04 + 4 + slope), 0, 255).astype(np.uint8)
    error = match_tone(truth, drifted, hole).astype(np.float32)[hole] - truth[hole]
    assert np.abs(error.mean(axis=0)).max() < 0.8
    assert np.abs(error).max() <= 3
    assert (drifted.astype(np.float32)[hole] - truth[hole]).mean() > 6


@pytest.mark.parametrize("offset", [-6, 6])
def test_a_step_at_a_pasted_fill_is_taken_off_where_it_shows(offset: int) -> None:
    rng = np.random.default_rng(0)
    sky = np.linspace(120, 150, 200)[:, None, None] + rng.normal(0, 1.5, (200, 200, 3))
    source, hole = np.rint(sky).astype(np.uint8), disc(200, 200, 40)
    pasted = np.where(hole[:, :, None], source + np.int16(offset), source).astype(np.uint8)
    left = match_tone(source, pasted, hole).astype(np.float32)[hole] - source[hole]
    assert np.abs(left.mean(axis=0)).max() < 1.0


def test_a_pasted_fill_that_goes_on_as_its_surroundings_do_hardly_changes() -> None:
    picture, hole = texture(200, 200), disc(200, 200, 40)
    other = np.where(hole[:, :, None], texture(200, 200)[:, ::-1][:, ::-1], picture)
    change = match_tone(picture, other, hole).astype(np.float32) - other
    assert np.abs(change).max() <= 1


def test_another_picture_is_no_drift() -> None:
    source, fill, hole = noise(120, 120, seed=1), noise(120, 120, seed=2), disc(120, 120, 20)
    assert np.array_equal(match_tone(source, fill, hole), fill)


def test_a_hole_over_the_whole_window_is_left_alone() -> None:
    fill = noise(40, 40)
    assert match_tone(noise(40, 40, seed=3), fill, np.ones((40, 40), np.bool_)) is fill


def test_a_hole_at_the_windows_border_follows_the_side_that_is_known() -> None:
    source = np.full((90, 90, 3), 100, np.uint8)
    hole = np.zeros((90, 90), np.bool_)
    hole[:, 50:] = True
    assert np.array_equal(match_tone(source, source + np.uint8(5), hole)[hole], source[hole])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_harmonic_function_keeps_its_boundary_values_and_their_range(height: int, width: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.uniform(-9, 9, (height, width, 2)).astype(np.float32)
    known = draw.random((height, width)) < 0.2
    known[draw.integers(height), draw.integers(width)] = True
    membrane = harmonic(values, known)
    assert np.array_equal(membrane[known], values[known])
    assert (membrane.min(axis=(0, 1)) >= values[known].min(axis=0) - 1e-4).all()
    assert (membrane.max(axis=(0, 1)) <= values[known].max(axis=0) + 1e-4).all()


def test_a_harmonic_function_of_a_slope_is_the_slope() -> None:
    slope = np.repeat(np.linspace(0, 60, 64, dtype=np.float32)[None, :, None], 48, axis=0)
    known = ~disc(48, 64, 15)
    assert np.abs(harmonic(np.where(known[:, :, None], slope, 0).astype(np.float32), known) - slope).max() < 1.0
