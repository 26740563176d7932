"""Enlargements that are the picture they were made of, and those that are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.photograph import photograph
from retouch_server.imaging.agreement import CELL_PX, replaced, strayed
from tests.models.onnx_models import NAMES, SPECS, onnx_model
from tests.support.models import nearest

DB = 30.0
SIDES = st.integers(1, 200)


@given(SIDES, SIDES, st.sampled_from([1, 3, 4]), st.sampled_from([2, 4]), st.integers(0, 2**32 - 1))
def test_a_picture_agrees_with_itself(height: int, width: int, channels: int, scale: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    assert strayed(nearest(image, scale), image, 60.0) is None


@given(SIDES, SIDES, st.sampled_from([1, 3, 4]), st.integers(9, 100))
def test_what_is_off_by_nine_levels_is_below_thirty_decibels(height: int, width: int, channels: int, off: int) -> None:
    image = np.full((height, width, channels), 50, np.uint8)
    result = nearest(image, 2)
    assert strayed(result + np.uint8(7), image, DB) is None
    cells = strayed(result + np.uint8(off), image, DB)
    assert cells is not None
    assert cells.all()


def test_alpha_is_no_colour() -> None:
    image = np.full((100, 100, 4), 50, np.uint8)
    result = nearest(image, 2)
    result[:, :, 3] = 255
    assert strayed(result, image, DB) is None


@given(st.integers(64, 300), st.integers(64, 300), st.integers(0, 2**32 - 1))
def test_only_the_cells_that_strayed_are_found_and_replaced(height: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (height, width, 3), np.uint8)
    faithful = nearest(image, 2)
    y, x = int(random.integers(0, height)), int(random.integers(0, width))
    result = faithful.copy()
    result[2 * y : 2 * y + 40, 2 * x : 2 * x + 40] ^= 0xFF
    cells = strayed(result, image, DB)
    wrong = (result != faithful).any(axis=2)
    if cells is None:
        assert np.square(result.astype(int) - faithful).mean(axis=2).sum() / 4 < CELL_PX**2 * 2 * 65
        return
    mended = replaced(result, faithful, cells)
    assert np.array_equal(mended[~wrong], result[~wrong])  # the two are the same there
    found = np.zeros(wrong.shape, bool)
    rows, columns = (np.linspace(0, side, number + 1) for side, number in zip(wrong.shape, cells.shape, strict=True))
    for row, column in np.argwhere(cells):
        found[int(np.ceil(rows[row])) : int(rows[row + 1]), int(np.ceil(columns[column])) : int(columns[column + 1])] = True
    assert np.array_equal(mended[found], faithful[found])


def test_replaced_everywhere_is_the_other_byte_for_byte() -> None:
    random = np.random.default_rng(0)
    one, other = (random.integers(0, 256, (300, 260, 4), np.uint8) for _ in range(2))
    assert np.array_equal(replaced(one, other, np.ones((3, 2), bool)), other)


def test_far_from_what_strayed_nothing_changes_and_between_it_fades() -> None:
    one, other = np.zeros((640, 640, 3), np.uint8), np.full((640, 640, 3), 200, np.uint8)
    cells = np.zeros((5, 5), bool)
    cells[2, 2] = True
    mended = replaced(one, other, cells)
    assert (mended[256:384, 256:384] == 200).all()
    assert not mended[:64].any()
    assert not mended[:, :64].any()
    along = mended[320, :, 0].astype(int)
    assert np.abs(np.diff(along)).max() <= 2


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("upscale")])
def test_no_shipped_upscaler_strays_from_a_photograph(name: str) -> None:
    photo, window = photograph(), SPECS[name].window_px // 2
    for y in range(0, photo.shape[0] - window, window):
        source = np.ascontiguousarray(photo[y : y + window, y : y + window])
        assert strayed(onnx_model(name)({"image": source})["result"], source, DB) is None
