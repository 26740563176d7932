"""The seam meter against pictures whose answer is known."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retouch_server.imaging.seam import SeamMeter


def test_nothing_measured_is_0() -> None:
    assert SeamMeter().score == 0.0
    meter = SeamMeter()
    meter.add(np.zeros((5, 4, 3), np.uint8), axis=1, weight=np.zeros(5, np.bool_))
    assert meter.score == 0.0


@given(st.integers(0, 80), st.integers(0, 12), st.sampled_from([0, 1]), st.integers(1, 40))
def test_a_smooth_ramp_shows_no_seam(start: int, slope: int, axis: int, n: int) -> None:
    lines = (start + slope * np.arange(4)).astype(np.uint8)
    around = np.broadcast_to(lines[None, :, None], (n, 4, 3))
    meter = SeamMeter()
    meter.add(around if axis == 1 else around.swapaxes(0, 1), axis=axis)
    assert meter.score == 1.0


@given(st.integers(0, 60), st.integers(0, 10), st.integers(20, 100), st.sampled_from([0, 1]))
def test_a_step_at_the_border_is_told(start: int, slope: int, step: int, axis: int) -> None:
    lines = start + slope * np.arange(4) + np.array([0, 0, step, step])
    around = np.broadcast_to(lines.astype(np.uint8)[None, :, None], (7, 4, 1))
    meter = SeamMeter()
    meter.add(around if axis == 1 else around.swapaxes(0, 1), axis=axis)
    assert meter.score > 1.5


def test_only_weighted_pixels_count() -> None:
    around = np.zeros((10, 4, 1), np.uint8)
    around[:5, 2:] = 200
    seen, unseen = SeamMeter(), SeamMeter()
    seen.add(around, axis=1, weight=np.arange(10) < 5)
    unseen.add(around, axis=1, weight=np.arange(10) >= 5)
    assert seen.score > 100
    assert unseen.score == 1.0


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_measuring_in_parts_is_measuring_at_once(seed: int, cut: int) -> None:
    around = np.random.default_rng(seed).integers(0, 256, (10, 4, 3), np.uint8)
    whole, parts = SeamMeter(), SeamMeter()
    whole.add(around, axis=1)
    parts.add(around[:cut], axis=1)
    parts.add(around[cut:], axis=1)
    assert np.isclose(whole.score, parts.score)
