"""Laws of an upload: the cut of the tiles changes nothing; what is out of order is named."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retouch_server.errors import BadField, BadSequence
from retouch_server.geometry import Rect
from retouch_server.imaging.assembler import LOOKAHEAD_ROWS, RowAssembler
from retouch_server.imaging.rows import Pixels


@st.composite
def partitions(draw: st.DrawFn, height: int, width: int) -> list[Rect]:
    """The image cut recursively in two, in the order of a reader; each tile reaches at most LOOKAHEAD_ROWS down."""
    todo, done = [Rect(0, 0, height, width)], list[Rect]()
    while todo:
        rect = todo.pop()
        can_split = len(done) + len(todo) < 40 and rect.area > 1
        if not can_split or not draw(st.integers(0, 3)):
            done.append(rect)
        elif rect.width == 1 or (rect.height > 1 and draw(st.booleans())):
            cut = draw(st.integers(1, rect.height - 1))
            todo += [Rect(rect.y, rect.x, cut, rect.width), Rect(rect.y + cut, rect.x, rect.height - cut, rect.width)]
        else:
            cut = draw(st.integers(1, rect.width - 1))
            todo += [Rect(rect.y, rect.x, rect.height, cut), Rect(rect.y, rect.x + cut, rect.height, rect.width - cut)]
    return done


@st.composite
def uploads(draw: st.DrawFn) -> tuple[Pixels, list[Rect]]:
    height, width = draw(st.integers(1, 300)), draw(st.integers(1, 60))
    rects = draw(partitions(height, width))
    image = np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), np.uint8)
    return image, draw(st.permutations(rects))  # lower than the lookahead: any order is legal


def assembled(image: Pixels, rects: Iterable[Rect]) -> tuple[RowAssembler, list[Pixels]]:
    assembler, parts, y = RowAssembler(*image.shape), list[Pixels](), 0
    for rect in rects:
        for band in assembler.add(rect, image[rect.y : rect.bottom, rect.x : rect.right]):
            assert band.y == y
            y = band.rows.stop
            parts.append(band.pixels)
    return assembler, parts


@given(uploads())
def test_any_cut_in_any_legal_order_gives_the_same_rows(upload: tuple[Pixels, list[Rect]]) -> None:
    image, rects = upload
    assembler, parts = assembled(image, rects)
    assert assembler.is_complete
    assembler.finish()
    assert np.array_equal(np.concatenate(parts), image)


@given(uploads(), st.data())
def test_a_missing_tile_is_told_at_the_end(upload: tuple[Pixels, list[Rect]], data: st.DataObject) -> None:
    image, rects = upload
    left_out = data.draw(st.integers(0, len(rects) - 1))
    assembler, _ = assembled(image, rects[:left_out] + rects[left_out + 1 :])
    assert not assembler.is_complete
    with pytest.raises(BadSequence, match=r"ended before row"):
        assembler.finish()


@given(uploads(), st.data())
def test_a_tile_that_overlaps_another_is_refused(upload: tuple[Pixels, list[Rect]], data: st.DataObject) -> None:
    image, rects = upload
    sent = rects[: data.draw(st.integers(1, len(rects)))]
    assembler, _ = assembled(image, sent)
    other = data.draw(st.sampled_from(sent))
    y, x = data.draw(st.integers(0, other.y)), data.draw(st.integers(0, other.x))
    rect = Rect(y, x, other.bottom - y, other.right - x)
    with pytest.raises(BadField) as caught:
        list(assembler.add(rect, image[rect.y : rect.bottom, rect.x : rect.right]))
    assert caught.value.field == "tile.rect"


@pytest.mark.parametrize(
    "rect", [Rect(0, 0, 5, 8), Rect(0, 5, 1, 3), Rect(3, 0, 2, 1), Rect(4, 0, 1, 1), Rect(0, 7, 1, 1), Rect(2**32 - 1, 0, 1, 1)]
)
def test_a_tile_outside_the_image_is_refused(rect: Rect) -> None:
    with pytest.raises(BadField, match="outside the image of 4×7"):
        RowAssembler(4, 7, 3).check(rect)


@pytest.mark.parametrize("rect", [Rect(0, 0, 0, 7), Rect(0, 0, 1, 0), Rect(9, 9, 0, 0)])
def test_an_empty_tile_is_refused(rect: Rect) -> None:
    with pytest.raises(BadField, match="empty tile"):
        RowAssembler(4, 7, 3).check(rect)


def test_how_far_ahead_a_tile_may_reach() -> None:
    assembler = RowAssembler(5000, 4, 1)
    assembler.check(Rect(LOOKAHEAD_ROWS - 1, 0, 1, 4))
    with pytest.raises(BadField, match="reaches more than"):
        assembler.check(Rect(LOOKAHEAD_ROWS, 0, 1, 4))
    with pytest.raises(BadField, match="reaches more than"):
        assembler.check(Rect(0, 0, LOOKAHEAD_ROWS + 1, 4))
    list(assembler.add(Rect(0, 0, 100, 4), np.zeros((100, 4, 1), np.uint8)))
    assembler.check(Rect(LOOKAHEAD_ROWS + 99, 0, 1, 4))


def test_memory_is_bound_to_the_lookahead() -> None:
    """A tile at the far end of what is allowed costs the blocks above it, not the image."""
    assembler = RowAssembler(60_000, 50, 1)
    assert list(assembler.add(Rect(LOOKAHEAD_ROWS - 1, 0, 1, 1), np.zeros((1, 1, 1), np.uint8))) == []
    held = sum(block.pixels.nbytes for block in assembler._blocks)
    assert held <= (LOOKAHEAD_ROWS + 64) * 50


def test_full_width_strips_pass_through_without_a_copy() -> None:
    image = np.zeros((100, 30, 3), np.uint8)
    (band,) = RowAssembler(100, 30, 3).add(Rect(0, 0, 100, 30), image)
    assert band.pixels is image


def test_lookahead_counts_from_the_first_incomplete_row() -> None:
    assembler = RowAssembler(4000, 4, 1)
    pixels = np.zeros((1000, 2, 1), np.uint8)
    for x in (0, 2):
        list(assembler.add(Rect(0, x, 1000, 2), pixels))  # rows 960 to 1000 are whole, the block of 64 they lie in is not
    assembler.check(Rect(1000, 0, 1000, 2))
    with pytest.raises(BadField, match="below row 1000"):
        assembler.check(Rect(1000, 0, 1025, 2))
