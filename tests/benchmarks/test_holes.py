"""What the benchmark of large holes calls a hole, and a sharp fill."""

import cv2
import numpy as np
import pytest

from benchmarks.holes import SHAPES, alike_ratio, hole_of, ring_ratio

SIZE = 256


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.1, 0.4])
def test_a_hole_has_its_share_of_the_picture(shape: str, share: float) -> None:
    hole = hole_of(SIZE, share, shape, seed=1)
    assert hole.shape == (SIZE, SIZE)
    assert hole.mean() == pytest.approx(share, abs=0.02)


def test_the_truth_is_as_sharp_as_its_surroundings_and_a_blurred_fill_is_not() -> None:
    truth = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    truth = np.asarray(cv2.GaussianBlur(truth, (0, 0), 1), np.uint8)
    hole = hole_of(SIZE, 0.2, "ellipse", seed=2)
    blurred = np.where(hole[:, :, None], cv2.GaussianBlur(truth, (0, 0), 3), truth)
    for ratio in (ring_ratio, alike_ratio):
        assert ratio(truth, hole) == pytest.approx(1.0, abs=0.1)
        assert ratio(blurred, hole) < 0.3
