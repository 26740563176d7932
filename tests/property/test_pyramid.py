"""Laws of the Laplacian pyramid."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retouch_server.imaging.pyramid import Field, weighted


@st.composite
def fields(draw: st.DrawFn) -> Field:
    shape = (draw(st.integers(1, 70)), draw(st.integers(1, 70)), draw(st.sampled_from([1, 3, 4])))
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).uniform(-255, 255, shape).astype(np.float32)


def nodes(field: Field, axis: int, levels: int, value: float) -> list[Field]:
    return [np.full(-(-field.shape[axis] // 2**level), value, np.float32) for level in range(levels)]


@given(fields(), st.sampled_from([0, 1]), st.integers(1, 6))
def test_the_levels_sum_to_what_they_were_built_from(field: Field, axis: int, levels: int) -> None:
    assert np.allclose(weighted(field, nodes(field, axis, levels, 1.0), axis), field, atol=1e-3)


@given(fields(), st.sampled_from([0, 1]), st.integers(1, 6), st.floats(0, 1))
def test_equal_weights_are_a_factor(field: Field, axis: int, levels: int, factor: float) -> None:
    assert np.allclose(weighted(field, nodes(field, axis, levels, factor), axis), field * factor, atol=1e-3)


@given(fields(), st.sampled_from([0, 1]), st.integers(1, 6))
def test_weights_of_0_and_fields_of_0_give_exactly_0(field: Field, axis: int, levels: int) -> None:
    assert not weighted(field, nodes(field, axis, levels, 0.0), axis).any()
    assert not weighted(np.zeros_like(field), nodes(field, axis, levels, 0.7), axis).any()


@given(fields(), st.sampled_from([0, 1]), st.integers(2, 5))
def test_a_constant_lies_in_the_coarsest_level(field: Field, axis: int, levels: int) -> None:
    constant = np.full_like(field, 37.0)
    weights = [*nodes(field, axis, levels - 1, 0.0), nodes(field, axis, levels, 1.0)[-1]]
    assert np.allclose(weighted(constant, weights, axis), constant, atol=1e-3)
