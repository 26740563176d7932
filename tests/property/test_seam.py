"""The seam meter against joints whose answer is known."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retouch_server.imaging.blend import Joint, join, steps
from retouch_server.imaging.rows import Pixels
from retouch_server.imaging.seam import SeamMeter


def joined(first: Pixels, second: Pixels, axis: int, margin: int = 0) -> Joint:
    return join(first, second, axis, margin, np.empty_like(first))


def score(joint: Joint) -> float:
    meter = SeamMeter()
    meter.add(joint)
    return meter.score


def cut(first: Pixels, second: Pixels, axis: int) -> Joint:
    """Pasted side by side: the joint of sides that overlap but are not blended."""
    middle = first.shape[axis] // 2
    pasted = np.concatenate([first.swapaxes(0, axis)[:middle], second.swapaxes(0, axis)[middle:]]).swapaxes(0, axis)
    return Joint(steps(pasted, axis), joined(first, second, axis).own, is_widened=False)


def test_nothing_measured_is_0() -> None:
    meter = SeamMeter()
    assert meter.score == 0.0
    meter.add(joined(np.zeros((5, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8), axis=1), np.zeros(5, np.bool_))
    assert meter.score == 0.0


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1]), st.integers(1, 40), st.integers(1, 40))
def test_where_sides_agree_there_is_no_seam_whatever_the_picture(seed: int, axis: int, height: int, width: int) -> None:
    side = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    assert score(joined(side, side.copy(), axis)) == 1.0


@given(st.integers(0, 60), st.integers(0, 10), st.integers(20, 100), st.sampled_from([0, 1]))
def test_a_step_at_the_border_is_told_and_a_blend_hides_it(start: int, slope: int, step: int, axis: int) -> None:
    lines = (start + slope * np.arange(8)).astype(np.uint8)[:, None, None].repeat(40, 0).reshape(-1, 1, 1)[:64]
    first = np.broadcast_to(lines, (64, 7, 3)).copy()
    second = first + np.uint8(step)
    if axis == 1:
        first, second = first.swapaxes(0, 1).copy(), second.swapaxes(0, 1).copy()
    pasted = score(cut(first, second, axis))
    assert pasted > 1.5
    assert score(joined(first, second, axis)) < 1 + (pasted - 1) / 8


def test_only_weighted_pixels_inside_count() -> None:
    across = np.array([0.0] * 10 + [100.0] * 10)
    joint = Joint(np.stack([across, np.zeros(20)]), np.zeros((2, 20)), is_widened=False)
    calm, seam = SeamMeter(), SeamMeter()
    calm.add(joint, inside=slice(0, 10))
    seam.add(joint, np.arange(10) < 5, slice(5, 15))
    assert calm.score == 1.0
    assert seam.score == 1.0
    seam.add(joint, np.arange(10) >= 5, slice(5, 15))
    assert seam.score > 50


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_measuring_in_parts_is_measuring_at_once(seed: int, at: int) -> None:
    random = np.random.default_rng(seed)
    joint = Joint(random.uniform(0, 50, (2, 10)), random.uniform(0, 50, (2, 10)), is_widened=False)
    whole, parts = SeamMeter(), SeamMeter()
    whole.add(joint)
    parts.add(joint, inside=slice(0, at))
    parts.add(joint, inside=slice(at, 10))
    assert np.isclose(whole.score, parts.score)
