"""Strokes and their removal, with a detector that is told the answer: the real one has tests of its own."""

from types import ModuleType

import numpy as np
import pytest

from tests.models.pictures import captioned, full_mask, text_box, texture


def telling(*answers: np.ndarray):
    """A detector that finds `answers` one after the other at full size, then nothing; nothing on other sizes."""
    left = list(answers)

    def detect(image: np.ndarray) -> np.ndarray:
        if left and left[0].shape[:2] == image.shape[:2]:
            return left.pop(0)
        return np.zeros((*image.shape[:2], 1), np.uint8)

    return detect


def untouched(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    raise AssertionError("there was nothing to fill")


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("outlined", [False, True])
def test_a_caption_goes_and_little_else(removal: ModuleType, exemplar: ModuleType, colour: int, outlined: bool) -> None:
    plain = texture(160, 320)
    drawn, changed = captioned(plain, colour=colour, outlined=outlined)
    done = removal.remove_text(drawn, full_mask(drawn), telling(text_box(changed)), exemplar.fill)
    strokes, caption = done.strokes[..., 0] > 0, changed > 0
    assert strokes[caption].mean() > 0.985
    assert strokes.sum() < 3.2 * caption.sum()
    before = np.abs(drawn.astype(int) - plain)[caption].mean()
    after = np.abs(done.result.astype(int) - plain)[caption].mean()
    assert after < 0.12 * before
    # No ghost: what remains on the strokes is no stronger than on background that was filled beside them.
    assert after < 2.0 * np.abs(done.result.astype(int) - plain)[strokes & ~caption].mean() + 1.0


def test_nothing_outside_the_mask_changes(removal: ModuleType, exemplar: ModuleType) -> None:
    drawn, changed = captioned(texture(160, 320))
    mask = full_mask(drawn, 0)
    mask[:, :150] = 255
    done = removal.remove_text(drawn, mask, telling(text_box(changed)), exemplar.fill)
    np.testing.assert_array_equal(done.result[:, 150:], drawn[:, 150:])
    assert not done.strokes[:, 150:].any()
    assert done.strokes[:, :150].any()


def test_only_strokes_change(removal: ModuleType, exemplar: ModuleType) -> None:
    drawn, changed = captioned(texture(160, 320))
    done = removal.remove_text(drawn, full_mask(drawn, 128), telling(text_box(changed)), exemplar.fill)
    kept = done.strokes[..., 0] == 0
    np.testing.assert_array_equal(done.result[kept], drawn[kept])
    assert set(np.unique(done.strokes)) == {0, 255}


def test_an_empty_mask_costs_no_model_call(removal: ModuleType) -> None:
    drawn, _ = captioned(texture(160, 320))
    done = removal.remove_text(drawn, full_mask(drawn, 0), untouched, untouched)  # pyright: ignore
    np.testing.assert_array_equal(done.result, drawn)
    assert not done.strokes.any()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (40, 2), (512, 1)])
def test_tiny_windows_without_text_come_back(removal: ModuleType, size: tuple[int, int]) -> None:
    picture = texture(*size)
    done = removal.remove_text(picture, full_mask(picture), telling(), untouched)
    np.testing.assert_array_equal(done.result, picture)
    assert done.strokes.shape == (*size, 1)


@pytest.mark.parametrize("size", [(4, 4), (9, 30), (33, 12)])
def test_tiny_windows_that_are_all_text_do_not_fail(removal: ModuleType, exemplar: ModuleType, size: tuple[int, int]) -> None:
    picture = texture(*size)
    done = removal.remove_text(picture, full_mask(picture), telling(full_mask(picture)), exemplar.fill)
    assert done.result.shape == picture.shape


def test_the_same_input_gives_the_same_output(removal: ModuleType, exemplar: ModuleType) -> None:
    drawn, changed = captioned(texture(160, 320))
    one, two = (removal.remove_text(drawn, full_mask(drawn), telling(text_box(changed)), exemplar.fill) for _ in range(2))
    np.testing.assert_array_equal(one.result, two.result)
    np.testing.assert_array_equal(one.strokes, two.strokes)


def test_what_still_reads_as_text_goes_with_its_whole_line(removal: ModuleType, exemplar: ModuleType) -> None:
    drawn, changed = captioned(texture(160, 320))
    box = text_box(changed)
    once = removal.remove_text(drawn, full_mask(drawn), telling(box), exemplar.fill)
    twice = removal.remove_text(drawn, full_mask(drawn), telling(box, box), exemplar.fill)
    assert twice.strokes.sum() > once.strokes.sum()
    assert (twice.strokes[box > 0] == 255).all()


def test_a_tall_line_never_becomes_a_hole_as_a_whole(removal: ModuleType, exemplar: ModuleType) -> None:
    drawn, _ = captioned(texture(240, 480))
    box = full_mask(drawn, 0)
    box[80:160, 60:420] = 255  # grown, it is some 180 px tall: more than half of the picture
    once = removal.remove_text(drawn, full_mask(drawn), telling(box), exemplar.fill)
    twice = removal.remove_text(drawn, full_mask(drawn), telling(box, box), exemplar.fill)
    np.testing.assert_array_equal(once.strokes, twice.strokes)
    assert (once.strokes[box > 0] > 0).mean() < 0.5


def test_lines_are_grown_from_the_shrunk_map(strokes: ModuleType) -> None:
    found = np.zeros((100, 200), np.uint8)
    found[40:50, 30:150] = 255
    (line,) = strokes.text_lines(found)
    # 10 x 120 grown on each side by area * 1.6 / perimeter = 1200 * 1.6 / 260 = 7.4
    assert line.height_px == pytest.approx(10 + 2 * 7.4, abs=0.3)
    assert strokes.polygon_mask(found.shape, [line])[35:55, 25:155].all()


def test_a_faint_or_square_blob_is_no_line(strokes: ModuleType) -> None:
    faint, square = np.zeros((2, 100, 200), np.uint8)
    faint[40:50, 30:150] = 120
    square[30:70, 30:70] = 190
    assert strokes.text_lines(faint) == []
    assert strokes.text_lines(square) == []


def test_tall_letters_are_found_at_a_smaller_size(removal: ModuleType) -> None:
    def detect(image: np.ndarray) -> np.ndarray:
        found = np.zeros((*image.shape[:2], 1), np.uint8)
        if image.shape[0] == 128:  # a quarter of 512
            found[50:80, 10:110] = 255
        return found

    (line,) = removal.find_lines(texture(512, 512), detect)
    assert line.height_px > 120
    assert line.polygon.max() > 400
