"""The edge of a fill: laws for any picture and mask, and strokes whose truth is known."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retouch_server.imaging.blend import composite
from retouch_server.imaging.edge import EDGE_PX, alpha, bounds, hole, stain
from retouch_server.imaging.rings import REACH_PX, distance_px
from tests.models.pictures import texture
from tests.support.wire import noise, soft_disc

Image = NDArray[np.uint8]


def written(seed: int = 0, colour: int = 255) -> tuple[Image, Image, NDArray[np.float32]]:
    """A texture, the same with a word on it, and the word's coverage, 0 to 1."""
    truth = texture(160, 240, seed)
    large = np.zeros((640, 960), np.uint8)
    cv2.putText(large, "halo", (120, 400), cv2.FONT_HERSHEY_SIMPLEX, 9.0, (255,), 34)
    coverage = cv2.resize(large, (240, 160), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    drawn = truth + coverage[:, :, None] * (colour - truth.astype(np.float32))
    return truth, np.rint(drawn).astype(np.uint8), coverage


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3, 4]), st.integers(0, 2**32 - 1))
def test_what_is_not_masked_stays_so_and_growth_is_bounded(height: int, width: int, channels: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    source = cv2.blur(draw.integers(0, 256, (height, width, channels), np.uint8), (5, 5)).reshape(height, width, channels)
    mask = np.where(draw.random((height, width)) < 0.1, draw.integers(0, 256, (height, width)), 0).astype(np.uint8)
    mask = cv2.dilate(mask, np.ones((5, 5), np.uint8)).reshape(height, width)
    stained = stain(source, mask)
    firm, told = alpha(mask, stained), hole(mask, stained)
    assert stained.shape == mask.shape
    assert not firm[mask == 0].any()
    assert (firm >= mask).all()
    assert (told >= mask).all()
    if mask.any():
        assert not told[np.ceil(distance_px(mask > 0)) > REACH_PX].any()
    else:
        assert not told.any()


@pytest.mark.parametrize("seed", range(8))
def test_noise_and_constants_have_no_strokes(seed: int) -> None:
    mask = soft_disc(150, 130, seed=seed)
    assert not stain(noise(150, 130, seed=seed), mask).any()
    assert not stain(np.full((150, 130, 3), 90, np.uint8), mask).any()
    assert not stain(noise(64, 64, seed=seed), np.full((64, 64), 255, np.uint8)).any()


@pytest.mark.parametrize("colour", [255, 0])
def test_a_mask_cut_at_half_coverage_grows_over_the_antialiased_rim(colour: int) -> None:
    _, drawn, coverage = written(colour=colour)
    mask = np.where(coverage >= 0.5, 255, 0).astype(np.uint8)
    grown = hole(mask, stain(drawn, mask)) > 0
    rim = (mask == 0) & (coverage > 0.25)
    assert rim.any()
    assert grown[rim].mean() > 0.9
    assert (grown & (coverage == 0)).sum() < 0.1 * (mask > 0).sum(), "little more than the rim"


@pytest.mark.parametrize("colour", [255, 0])
def test_a_mask_that_holds_all_of_a_stroke_hardly_grows(colour: int) -> None:
    _, drawn, coverage = written(colour=colour)
    mask = np.where(coverage > 0, 255, 0).astype(np.uint8)
    assert (stain(drawn, mask) & (mask == 0)).sum() < 0.08 * (mask > 0).sum()


@pytest.mark.parametrize("colour", [255, 0])
@pytest.mark.parametrize("soft", ["coverage", "feathered"])
def test_a_soft_mask_on_the_strokes_own_edge_leaves_no_halo(colour: int, soft: str) -> None:
    truth, drawn, coverage = written(colour=colour)
    exact = np.where(coverage > 0, 255, 0).astype(np.uint8)
    mask = cv2.GaussianBlur(exact, (0, 0), 2.0) if soft == "feathered" else np.rint(coverage * 255).astype(np.uint8)
    stroke = colour - truth.astype(np.float32)
    ring = distance_px(coverage >= 0.5)
    ring = (ring > 0) & (ring <= 6)

    def left(by: Image) -> float:
        error = composite(drawn, truth, by).astype(np.float32) - truth
        return float((error * stroke)[ring].sum() / np.square(stroke)[ring].sum())

    assert left(alpha(mask, stain(drawn, mask))) < 0.002
    assert left(mask) > 0.005, "or there is nothing to prove"


def test_a_soft_edge_on_clean_pixels_stays_soft() -> None:
    _, drawn, coverage = written()
    wide = cv2.dilate(np.where(coverage > 0, 255, 0).astype(np.uint8), np.ones((25, 25), np.uint8))
    mask = cv2.GaussianBlur(wide, (0, 0), 3.0)
    firm = alpha(mask, stain(drawn, mask))
    tail = (mask > 0) & (mask < 128)
    assert (firm[tail] != mask[tail]).mean() < 0.02


def test_a_faint_mask_stays_faint() -> None:
    _, drawn, coverage = written()
    mask = np.where(coverage > 0, 20, 0).astype(np.uint8)
    assert alpha(mask, stain(drawn, mask)).max() <= 40


def test_windows_that_share_pixels_agree_on_them() -> None:
    _, drawn, coverage = written()
    mask = cv2.GaussianBlur(np.where(coverage > 0, 255, 0).astype(np.uint8), (0, 0), 2.0)
    whole, part = stain(drawn, mask), stain(drawn[:, 40:], mask[:, 40:])
    inner = slice(2 * EDGE_PX, None)
    assert (whole[:, 40:][:, inner] == part[:, inner]).all()


def test_bounds_are_the_box_and_its_margin() -> None:
    flags = np.zeros((50, 60), np.bool_)
    assert bounds(flags, 3) is None
    flags[10:12, 57] = True
    rows, columns = bounds(flags, 5) or (slice(0), slice(0))
    assert flags[rows, columns].shape == (12, 8)
    assert (rows.start, columns.start) == (5, 52)


@pytest.mark.parametrize("seed", range(4))
def test_a_colour_stands_out_from_a_ground_that_scatters_in_brightness_alone(seed: int) -> None:
    bright = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(120, 200)), (0, 0), 1.5)
    ground = np.repeat((128 + 45 * bright / bright.std())[:, :, None], 3, axis=2)
    coverage = np.zeros((120, 200), np.float32)
    coverage[56:65, 90:105] = 1
    coverage = cv2.GaussianBlur(coverage, (0, 0), 1.0)[:, :, None]
    drawn = ground * (1 - coverage) + coverage * (165, 128, 60)
    mask = np.rint(255 * coverage[:, :, 0]).astype(np.uint8)
    soft = (mask > 25) & (mask < 230)
    assert stain(np.clip(np.rint(drawn), 0, 255).astype(np.uint8), mask)[soft].mean() > 0.95
