"""The detector's input, and the detector itself where the wheel with its weights is installed."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.models.pictures import captioned, texture


def weights() -> Path:
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or spec.origin is None:
        pytest.skip("the wheel rapidocr is not installed")
    return Path(spec.origin).parent / "models" / "PP-OCRv6_det_small.onnx"


@pytest.mark.parametrize(("size", "padded"), [((1, 1), (32, 32)), ((32, 64), (32, 64)), ((33, 40), (64, 64))])
def test_the_graph_sees_multiples_of_32_in_bgr_from_minus_one_to_one(
    detector: ModuleType, size: tuple[int, int], padded: tuple[int, int]
) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    picture[..., 0] = 255
    ready = detector.prepared(picture)
    assert ready.shape == (1, 3, *padded)
    assert ready.dtype == np.float32
    np.testing.assert_array_equal(ready[0, 2], 1.0)
    np.testing.assert_array_equal(ready[0, :2], -1.0)


def test_a_caption_is_found_where_it_is_and_only_there(detector: ModuleType) -> None:
    drawn, changed = captioned(texture(150, 310))
    model = detector.TextDetector(weights())
    found = model.probability(drawn)
    assert found.shape == (150, 310, 1)
    assert found.dtype == np.uint8
    ys, xs = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    inside = np.zeros(changed.shape, bool)
    inside[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1] = True
    assert found[inside].mean() > 100
    assert found[~inside].mean() < 8
    assert model.probability(texture(150, 310)).max() < 77
    np.testing.assert_array_equal(found, model.probability(drawn))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 70)])
def test_any_size_from_one_pixel(detector: ModuleType, size: tuple[int, int]) -> None:
    assert detector.TextDetector(weights()).probability(texture(*size)).shape == (*size, 1)
