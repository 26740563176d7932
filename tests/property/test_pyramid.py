"""Laws of the pyramid: what is shared among Gaussian levels is what a Laplacian pyramid's levels would share."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retouch_server.imaging.pyramid import Field, weighted
from retouch_server.tiling import ramps, shares
from retouch_server.tiling.ramps import expanded


@st.composite
def fields(draw: st.DrawFn) -> Field:
    shape = (draw(st.integers(1, 70)), draw(st.integers(1, 70)), draw(st.sampled_from([1, 3, 4])))
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).uniform(-255, 255, shape).astype(np.float32)


def nodes(field: Field, axis: int, levels: int, value: float) -> list[Field]:
    return [np.full(-(-field.shape[axis] // 2**level), value, np.float32) for level in range(levels)]


def laplacian(field: Field, axis: int) -> Field:
    """The textbook's: levels built, weighted, collapsed."""
    weights = [ramp[:, None] if axis == 0 else ramp[None, :] for ramp in ramps(field.shape[axis])]
    gauss = [field[:, :, 0]]
    for _ in weights[1:]:
        gauss.append(np.asarray(cv2.pyrDown(gauss[-1]), np.float32))
    total = gauss[-1] * weights[-1]
    for level, weight in zip(gauss[-2::-1], weights[-2::-1], strict=True):
        coarse = gauss[[each.shape for each in gauss].index(level.shape) + 1]
        size = level.shape[::-1]
        total = (level - cv2.pyrUp(coarse, dstsize=size)) * weight + cv2.pyrUp(total, dstsize=size)
    return total[:, :, None]


@given(fields(), st.sampled_from([0, 1]), st.integers(1, 6))
def test_all_of_the_finest_level_and_none_of_the_others_is_the_field(field: Field, axis: int, levels: int) -> None:
    given_shares = [*nodes(field, axis, 1, 1.0), *nodes(field, axis, levels, 0.0)[1:]]
    assert np.array_equal(weighted(field.copy(), given_shares, axis), field)


@given(fields(), st.sampled_from([0, 1]), st.integers(1, 6), st.integers(0, 5), st.floats(0, 1))
def test_a_constant_keeps_its_share_of_every_level(field: Field, axis: int, levels: int, level: int, share: float) -> None:
    field[:] = 37.0
    given_shares = nodes(field, axis, levels, 0.0)
    given_shares[min(level, levels - 1)][:] = share
    assert np.allclose(weighted(field, given_shares, axis), 37 * share, atol=1e-3)


@given(fields(), st.sampled_from([0, 1]), st.integers(1, 6))
def test_nothing_of_a_field_and_a_field_of_0_give_exactly_0(field: Field, axis: int, levels: int) -> None:
    assert not weighted(np.zeros_like(field), nodes(field, axis, levels, 0.7), axis).any()
    assert not weighted(field, nodes(field, axis, levels, 0.0), axis).any()


@given(st.integers(15, 300), st.integers(8, 40), st.sampled_from([0, 1]), st.integers(0, 2**32 - 1))
def test_shares_of_gaussian_levels_are_weights_of_laplacian_ones(across: int, along: int, axis: int, seed: int) -> None:
    shape = (across, along, 1) if axis == 0 else (along, across, 1)
    random = np.random.default_rng(seed)
    field = random.uniform(-20, 20, shape).astype(np.float32)
    off = np.abs(weighted(field.copy(), shares(across), axis) - laplacian(field, axis))
    # White noise changes as fast as a field can: there what expands and is then weighted differs most from its converse.
    assert off.mean() < 0.05 * 20
    constant = np.full_like(field, 20.0)
    assert np.allclose(weighted(constant.copy(), shares(across), axis), laplacian(constant, axis), atol=0.02)


@given(st.integers(1, 60), st.booleans())
def test_expanding_weights_is_what_opencv_expands(n: int, is_odd: bool) -> None:
    coarse = np.random.default_rng(n).uniform(0, 1, n).astype(np.float32)
    length = 2 * n - is_odd
    wanted = cv2.pyrUp(coarse[None, :], dstsize=(length, 1)).ravel()
    inside = slice(2, max(2, length - 2))
    assert np.allclose(expanded(coarse, length)[inside], wanted[inside], atol=1e-6)
