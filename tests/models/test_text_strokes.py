"""What colours and repetition say of strokes (text_removal), on pictures made from nothing."""

from types import ModuleType

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.pictures import LATTICE, captioned, marked, texture


def test_ground_between_letters_is_told_from_them_by_its_colour(colour: ModuleType) -> None:
    plain = texture(160, 320)
    drawn, changed = captioned(plain)
    sure = cv2.dilate(changed, np.ones((9, 9), np.uint8))  # as if all that lies between the letters were found
    likely = colour.likelihood(drawn, sure)
    inner = cv2.erode(changed, np.ones((3, 3), np.uint8)) > 0
    assert likely[inner].mean() > 230
    assert likely[(sure > 0) & ~(cv2.dilate(changed, np.ones((5, 5), np.uint8)) > 0)].mean() < 110
    assert (likely[-4:, -4:] == colour.UNKNOWN).all(), "far from what was found"


def test_strokes_of_two_colours_far_apart_each_have_a_ground_of_their_own(colour: ModuleType) -> None:
    white, changed_white = captioned(texture(160, 320), colour=255)
    black, changed_black = captioned(texture(160, 320), colour=0)
    likely = colour.likelihood(np.vstack([white, black]), np.vstack([changed_white, changed_black]))
    for drawn, changed, part in ((white, changed_white, likely[:160]), (black, changed_black, likely[160:])):
        alone = colour.likelihood(drawn, changed)
        assert np.array_equal(part[20:140], alone[20:140])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_any_picture_has_likelihoods(colour: ModuleType, height: int, width: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    image = draw.integers(0, 256, (height, width, 3)).astype(np.uint8)
    probability = draw.integers(0, 256, (height, width)).astype(np.uint8) * np.uint8(draw.random() < 0.8)
    likely = colour.likelihood(image, probability)
    assert likely.shape == (height, width)
    assert likely.dtype == np.uint8
    if not (probability >= colour.FOUND_LEVEL).any():
        assert (likely == colour.UNKNOWN).all()


def test_all_marks_of_a_lattice_are_told_from_half_of_them(repeats: ModuleType) -> None:
    image, marks = marked(LATTICE)
    truth = np.logical_or.reduce(marks)
    found = np.logical_or.reduce(marks[::2])
    told = repeats.with_copies(image, found)
    assert (told & truth).sum() > 0.97 * truth.sum()
    assert told.sum() < 1.05 * truth.sum()


def test_what_is_found_beside_one_copy_only_is_voted_out(repeats: ModuleType) -> None:
    image, marks = marked(LATTICE)
    found = np.logical_or.reduce(marks)
    wrong = cv2.dilate(marks[7].astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    told = repeats.with_copies(image, found | wrong)
    beside = wrong & ~(cv2.dilate(found.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    assert (told & beside).sum() < 0.05 * beside.sum()


@pytest.mark.parametrize(
    "places",
    [
        LATTICE[:1],
        [(30, 8), (30, 118), (30, 228)],  # a line
        [(30, 8), (90, 150), (250, 60), (310, 201), (180, 170)],  # here and there
        [],
    ],
)
def test_other_marks_stay_as_they_were_found(repeats: ModuleType, places: list[tuple[int, int]]) -> None:
    image, marks = marked(places)
    found = np.logical_or.reduce(marks) if marks else np.zeros((384, 384), bool)
    assert np.array_equal(repeats.with_copies(image, found), found)


def test_noise_is_no_mark(repeats: ModuleType) -> None:
    draw = np.random.default_rng(1)
    image = draw.integers(0, 256, (200, 240, 3)).astype(np.uint8)
    found = cv2.dilate((draw.random((200, 240)) < 0.004).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert np.array_equal(repeats.with_copies(image, found), found)
    assert np.array_equal(repeats.with_copies(image[:1, :1], found[:1, :1]), found[:1, :1])
    assert np.array_equal(repeats.with_copies(image, np.ones_like(found)), np.ones_like(found))
