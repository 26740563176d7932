"""Strokes and their removal, with a detector that is told the answer: the real one has tests of its own."""

from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from tests.models.pictures import LATTICE, U8, captioned, full_mask, marked, text_box, texture


def telling(answer: U8):
    """A detector that finds `answer` at every size."""

    def detect(image: U8) -> U8:
        height, width = image.shape[:2]
        return np.asarray(cv2.resize(answer, (width, height), interpolation=cv2.INTER_AREA), np.uint8).reshape(height, width, 1)

    return detect


def nothing(image: U8) -> U8:
    return np.zeros((*image.shape[:2], 1), np.uint8)


def everything(image: U8, hint: U8) -> U8:
    """Strokes wherever it looks."""
    assert hint.shape == (*image.shape[:2], 2)
    return full_mask(image)


def unlike(image: U8, mask: U8) -> U8:
    """A fill that changes every pixel: what is a stroke is told by what the model takes for one alone."""
    return image ^ np.uint8(128)


def untouched(*pictures: U8) -> U8:
    raise AssertionError("there was nothing to look for")


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("outlined", [False, True])
def test_a_caption_goes_and_little_else(
    removal: ModuleType, find: Any, exemplar: ModuleType, colour: int, outlined: bool
) -> None:
    plain = texture(160, 320)
    drawn, changed = captioned(plain, colour=colour, outlined=outlined)
    done = removal.remove_text(drawn, full_mask(drawn), telling(text_box(changed)), find, exemplar.fill)
    strokes, caption = done.strokes[..., 0] > 0, changed > 0
    assert strokes[caption].mean() > 0.985
    assert strokes.sum() < 1.6 * caption.sum()
    before = np.abs(drawn.astype(int) - plain)[caption].mean()
    after = np.abs(done.result.astype(int) - plain)[caption].mean()
    assert after < 0.12 * before


def test_nothing_outside_the_mask_changes(removal: ModuleType, find: Any, exemplar: ModuleType) -> None:
    drawn, changed = captioned(texture(160, 320))
    mask = full_mask(drawn, 0)
    mask[:, :150] = 255
    done = removal.remove_text(drawn, mask, telling(text_box(changed)), find, exemplar.fill)
    np.testing.assert_array_equal(done.result[:, 150:], drawn[:, 150:])
    assert not done.strokes[:, 150:].any()
    assert done.strokes[:, :150].any()


def test_only_strokes_change(removal: ModuleType, find: Any, exemplar: ModuleType) -> None:
    drawn, changed = captioned(texture(160, 320))
    done = removal.remove_text(drawn, full_mask(drawn, 128), telling(text_box(changed)), find, exemplar.fill)
    kept = done.strokes[..., 0] == 0
    np.testing.assert_array_equal(done.result[kept], drawn[kept])
    assert set(np.unique(done.strokes)) == {0, 255}


def test_strokes_are_believed_only_where_they_come_near_what_the_detector_saw(removal: ModuleType) -> None:
    drawn, _ = captioned(texture(200, 400))
    box = full_mask(drawn, 0)
    box[90:110, 150:250] = 255

    def find(image: U8, hint: U8) -> U8:
        """A long stroke through the text, and another that ends 20 px below it."""
        found, seen = full_mask(image, 0), hint[..., 0]
        rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
        found[:, columns[0] + 20 : columns[0] + 24] = 255
        found[rows[-1] + removal.NEAR_PX + 4 :, columns[0] + 60 : columns[0] + 64] = 255
        return found

    done = removal.remove_text(drawn, full_mask(drawn), telling(box), find, unlike)
    assert (done.strokes[90 - removal.CONTEXT_PX + 20 : 150, 170:174] == 255).all()
    assert not done.strokes[:, 205:220].any()


@pytest.mark.parametrize(("certainty", "goes"), [(250, False), (120, True)])
def test_what_is_doubted_stays_beside_what_is_sure(removal: ModuleType, certainty: int, goes: bool) -> None:
    picture = texture(200, 400)
    picture[95:105, 150:250] = 255
    picture[108:116, 180:200] = 0
    box = full_mask(picture, 0)
    box[90:110, 140:260] = 255

    def find(image: U8, hint: U8) -> U8:
        """White is a stroke, and black may be one."""
        white, black = ((image == value).all(axis=2, keepdims=True) for value in (255, 0))
        return np.where(white, np.uint8(certainty), np.where(black, np.uint8(110), np.uint8(0)))

    done = removal.remove_text(picture, full_mask(picture), telling(box), find, unlike)
    assert (done.strokes[95:105, 150:250] == 255).all()
    assert (done.strokes[110:116, 180:200] == 255).all() == goes
    assert done.strokes[110:116, 180:200].any() == goes


@pytest.mark.parametrize(("deviation", "goes"), [(2, True), (30, False)])
def test_an_outline_that_the_network_misses_goes_where_the_ground_is_calm(
    removal: ModuleType, deviation: int, goes: bool
) -> None:
    ground = 120 + deviation * np.random.default_rng(0).standard_normal((200, 400, 3))
    picture = np.clip(ground, 0, 255).astype(np.uint8)
    picture[91:109, 146:254] = 140  # an outline, six pixels wide at its ends and four elsewhere
    picture[95:105, 152:248] = 0

    def find(image: U8, hint: U8) -> U8:
        return np.where((image == 0).all(axis=2, keepdims=True), np.uint8(255), np.uint8(0))

    box = full_mask(picture, 0)
    box[85:115, 140:260] = 255
    done = removal.remove_text(picture, full_mask(picture), telling(box), find, unlike)
    assert (done.strokes[95:105, 152:248] == 255).all()
    outline = full_mask(picture, 0)
    outline[91:109, 146:254] = 1
    outline[94:106, 151:249] = 0  # the pixel beside a stroke always goes
    assert (done.strokes[outline > 0] == 255).mean() == (1 if goes else 0)
    assert (done.strokes > 0).sum() < 1.2 * 18 * 108


def test_strokes_outside_the_mask_are_no_source_of_the_fill(removal: ModuleType) -> None:
    drawn, changed = captioned(texture(160, 320))
    mask, holes = full_mask(drawn, 0), []
    mask[:, :150] = 255

    def fill(image: U8, hole: U8) -> U8:
        holes.append(hole)
        return unlike(image, hole)

    done = removal.remove_text(drawn, mask, telling(text_box(changed)), everything, fill)
    # The network looks CONTEXT_PX further than the mask: what it finds there is a hole to the fill, and kept in the result.
    assert (holes[0][changed[:, :150].any(axis=1), 150:170] == 255).all()
    assert not done.strokes[:, 150:].any()


def test_an_empty_mask_costs_no_model_call(removal: ModuleType) -> None:
    drawn, _ = captioned(texture(160, 320))
    done = removal.remove_text(drawn, full_mask(drawn, 0), untouched, untouched, untouched)
    np.testing.assert_array_equal(done.result, drawn)
    assert not done.strokes.any()


def test_a_window_without_text_costs_only_the_detector(removal: ModuleType) -> None:
    picture = texture(160, 320)
    done = removal.remove_text(picture, full_mask(picture), nothing, untouched, untouched)
    np.testing.assert_array_equal(done.result, picture)
    assert not done.strokes.any()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (40, 2), (512, 1)])
def test_tiny_windows_without_text_come_back(removal: ModuleType, size: tuple[int, int]) -> None:
    picture = texture(*size)
    done = removal.remove_text(picture, full_mask(picture), nothing, untouched, untouched)
    np.testing.assert_array_equal(done.result, picture)
    assert done.strokes.shape == (*size, 1)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (9, 30), (33, 12)])
def test_tiny_windows_that_are_all_text_do_not_fail(
    removal: ModuleType, find: Any, exemplar: ModuleType, size: tuple[int, int]
) -> None:
    picture = texture(*size)
    for finder in (find, everything):
        done = removal.remove_text(picture, full_mask(picture), telling(full_mask(picture)), finder, exemplar.fill)
        assert done.result.shape == picture.shape


def test_the_same_input_gives_the_same_output(removal: ModuleType, find: Any, exemplar: ModuleType) -> None:
    drawn, changed = captioned(texture(160, 320))
    detect = telling(text_box(changed))
    one, two = (removal.remove_text(drawn, full_mask(drawn), detect, find, exemplar.fill) for _ in range(2))
    np.testing.assert_array_equal(one.result, two.result)
    np.testing.assert_array_equal(one.strokes, two.strokes)


def test_tall_letters_are_found_at_a_smaller_size(removal: ModuleType) -> None:
    def detect(image: U8) -> U8:
        found = nothing(image)
        if image.shape[0] == 128:  # a quarter of 512
            found[50:80, 10:110] = 255
        return found

    picture = texture(512, 512)
    done = removal.remove_text(picture, full_mask(picture), detect, everything, unlike)
    assert (done.strokes[220:300, 60:420] == 255).all()


def test_what_is_faint_is_found_with_its_contrast_evened(removal: ModuleType) -> None:
    grain = np.random.default_rng(0).normal(70, 2, (256, 256, 1))
    picture = np.rint(grain).astype(np.uint8).repeat(3, axis=2)
    picture[100:120, 60:200] += 12

    def detect(image: U8) -> U8:
        """Blind to what departs from the picture by less than 16 levels."""
        smooth = cv2.blur(image[..., 0], (9, 9)).astype(int)
        return (np.abs(smooth - np.median(smooth)) >= 16)[..., None].astype(np.uint8) * np.uint8(255)

    assert not detect(picture).any()
    done = removal.remove_text(picture, full_mask(picture), detect, everything, unlike)
    assert (done.strokes[100:120, 60:200] == 255).all()


@pytest.mark.parametrize(("levels", "goes"), [(3, False), (4, True)])
def test_what_the_fill_would_hardly_change_stays(removal: ModuleType, levels: int, goes: bool) -> None:
    picture = texture(160, 320) // 2
    done = removal.remove_text(
        picture, full_mask(picture), telling(full_mask(picture)), everything, lambda image, mask: image + np.uint8(levels)
    )
    assert (done.strokes == (255 if goes else 0)).all()
    np.testing.assert_array_equal(done.result, picture + np.uint8(levels if goes else 0))


def test_copies_of_a_watermark_that_the_detector_overlooks_go_too(removal: ModuleType, find: Any, exemplar: ModuleType) -> None:
    image, marks = marked(LATTICE)
    truth = np.logical_or.reduce(marks)
    seen = cv2.dilate(truth.astype(np.uint8) * np.uint8(255), np.ones((5, 5), np.uint8))[..., None]
    seen[200:] = 0
    done = removal.remove_text(image, full_mask(image), telling(seen), find, exemplar.fill)
    below = done.strokes[240:, :, 0] > 0
    assert (below & truth[240:]).sum() > 0.95 * truth[240:].sum()
    assert below.sum() < 2 * truth[240:].sum()
