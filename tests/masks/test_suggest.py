"""The soft mask over what a detector saw."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from retouch_server.geometry import Rect
from retouch_server.masks.suggest import MAX_BOXES, suggest


def lines(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (200, 300)) -> np.ndarray:
    probability = np.zeros(size, np.uint8)
    for y, x, height, width in boxes:
        probability[y : y + height, x : x + width] = 200
    return probability


def test_nothing_seen_is_nothing_masked() -> None:
    found = suggest(np.full((50, 60), 76, np.uint8))
    assert found.mask.shape == (50, 60)
    assert not found.mask.any()
    assert found.boxes == ()


def test_a_line_is_covered_with_a_margin_and_fades() -> None:
    found = suggest(lines((90, 50, 10, 200)))
    (box,) = found.boxes
    assert Rect(90, 50, 10, 200) != box
    assert box.contains(Rect(86, 46, 18, 208))
    assert (found.mask[90:100, 50:250] == 255).all()
    column = found.mask[:90, 150].astype(int)
    assert (np.diff(column) >= 0).all()  # rises towards the text
    assert len(set(column.tolist()) - {0, 255}) >= 3  # softly
    assert (found.mask[box.y, 150], found.mask[box.y - 1, 150] < 255) == (255, True)


def test_a_higher_line_gets_more() -> None:
    small, large = suggest(lines((100, 50, 4, 200))).boxes[0], suggest(lines((100, 50, 40, 200))).boxes[0]
    assert large.height - 40 > small.height - 4


def test_specks_are_noise_and_boxes_come_largest_first() -> None:
    found = suggest(lines((20, 20, 2, 2), (60, 20, 4, 30), (120, 20, 8, 250)))
    assert len(found.boxes) == 2
    assert found.boxes[0].width > found.boxes[1].width


def test_boxes_are_bounded_and_the_mask_is_not() -> None:
    grid = [(y, x, 3, 9) for y in range(5, 590, 18) for x in range(5, 590, 30)]
    found = suggest(lines(*grid, size=(600, 600)))
    assert len(found.boxes) == MAX_BOXES < len(grid)
    assert all((found.mask[y : y + 3, x : x + 9] == 255).all() for y, x, _, _ in grid)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_boxes_lie_inside_and_hold_all_that_is_certain(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability = (rng.random((height // 5 + 1, width // 5 + 1)) < 0.2).repeat(5, 0).repeat(5, 1)[:height, :width]
    found = suggest((probability * 255).astype(np.uint8))
    covered = np.zeros((height, width), bool)
    for box in found.boxes:
        assert Rect(0, 0, height, width).contains(box)
        assert box.area > 0
        covered[box.rows.slice, box.columns.slice] = True
    assert covered[found.mask == 255].all()
    assert [box.area for box in found.boxes] == sorted((box.area for box in found.boxes), reverse=True)
