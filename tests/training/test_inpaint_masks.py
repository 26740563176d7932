"""The holes that the learned inpainter is trained and measured on."""

import numpy as np
import pytest

from training.inpaint.masks import KINDS, hole


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.25])
def test_a_hole_takes_about_its_share(kind: str, share: float) -> None:
    for seed in range(10):
        mask = hole(np.random.default_rng(seed), 256, kind, share)
        assert set(np.unique(mask)) == {0, 255}
        assert 0.8 * share <= np.mean(mask > 0) <= 1.2 * share


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_draws_the_same_hole_and_another_seed_another(kind: str) -> None:
    one, same, other = (hole(np.random.default_rng(seed), 128, kind, 0.1) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
