"""What a window's tone drifted is taken off; what an honest model gives passes as it is."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.photograph import photograph
from retouch_server.imaging.rows import Pixels
from retouch_server.imaging.tone import DEAD_ZONE, WILD, anchor, find_drift
from tests.models.onnx_models import NAMES, SPECS, onnx_model
from tests.support.models import nearest


def picture(seed: int, height: int = 160, width: int = 200, least: int = 30, most: int = 220) -> Pixels:
    """Something smooth with something fine on it, (height, width, 3)."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(least, most, (6, 7, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(smooth + random.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


def drifted(image: Pixels, gain: float, offset: float, slope_y: float, slope_x: float) -> Pixels:
    y, x = (np.linspace(-1, 1, side) for side in image.shape[:2])
    field = offset + slope_y * y[:, None, None] + slope_x * x[None, :, None]
    return np.clip(np.rint(image * gain + field), 0, 255).astype(np.uint8)


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 2, 4]), st.integers(0, 2**32 - 1))
def test_a_model_that_keeps_the_input_is_left_alone(height: int, width: int, scale: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    result = nearest(image, scale)
    assert anchor(result, image) is result


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("upscale")])
def test_no_shipped_model_leaves_the_dead_zone(name: str) -> None:
    photo, window = photograph(), SPECS[name].window_px // 2
    for y in range(0, photo.shape[0] - window, window):
        source = np.ascontiguousarray(photo[y : y + window, y : y + window])
        assert find_drift(onnx_model(name)({"image": source})["result"], source).level < DEAD_ZONE / 2


@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.96, 1.04),
    st.floats(-6, 6),
    st.floats(-4, 4),
    st.floats(-4, 4),
    st.sampled_from([1, 2, 4]),
)
def test_gain_offset_and_slope_are_taken_off(
    seed: int, gain: float, offset: float, slope_y: float, slope_x: float, scale: int
) -> None:
    source = picture(seed)
    truth = nearest(source, scale)
    result = drifted(truth, gain, offset, slope_y, slope_x)
    off = find_drift(result, source).level
    anchored = anchor(result, source)
    if off <= DEAD_ZONE:
        assert anchored is result
    else:
        assert np.abs(anchored.astype(int) - truth).mean() < 0.75
    assert abs(off - np.sqrt(np.square(result.astype(float) - truth).mean(axis=(0, 1))).max()) < 1.0


@pytest.mark.parametrize(("gain", "offset"), [(1.04, 6.0), (0.96, -6.0)])
def test_what_was_clipped_comes_back_from_the_source(gain: float, offset: float) -> None:
    source = picture(3)
    source[:60, :90] = 255 if gain > 1 else 0
    anchored = anchor(drifted(source, gain, offset, 0, 0), source)
    assert np.abs(anchored.astype(int) - source).max() <= 2
    assert np.array_equal(anchored[:60, :90], source[:60, :90])


def test_what_is_invented_in_a_few_places_is_no_drift() -> None:
    source = picture(5)
    result = drifted(source, 1.0, 5.0, 0, 0)
    result[32:64, 48:96] //= 3
    found = find_drift(result, source)
    assert np.abs(found.offset - 5).max() < 1.5
    assert np.abs(found.gain - 1).max() < 0.02


@given(st.integers(1, 3), st.integers(1, 400), st.integers(0, 255), st.integers(0, 255))
def test_flat_and_tiny_windows_have_an_answer(height: int, width: int, level: int, other: int) -> None:
    source = np.full((height, width, 3), level, np.uint8)
    anchored = anchor(np.full((height * 2, width * 2, 3), other, np.uint8), source)
    assert anchored.shape == (height * 2, width * 2, 3)
    if width > 200 and 8 < other < 247:
        off = abs(level - other)
        if off > WILD * 1.2:
            assert (anchored == other).all()
        elif off < WILD:
            assert abs(int(anchored[0, 0, 0]) - level) <= 1 + off / 8
