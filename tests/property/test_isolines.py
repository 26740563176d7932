"""Where a picture follows a mask: laws for any of the two, and soft masks on strokes over scenes with edges of their own."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retouch_server.imaging.blend import composite
from retouch_server.imaging.cells import CELL_PX
from retouch_server.imaging.edge import alpha, stain
from retouch_server.imaging.isolines import STEPS, stained_from

Image = NDArray[np.uint8]
SEEDS = st.integers(0, 2**32 - 1)


def leaves(height: int, width: int, seed: int) -> Image:
    """Dead leaves (Lee, Mumford and Huang 2001): opaque discs of any grey over each other, with edges of every contrast."""
    draw = np.random.default_rng(seed)
    scene = np.zeros((height, width, 3), np.uint8)
    for _ in range(height * width // 20):
        centre = int(draw.integers(width)), int(draw.integers(height))
        grey = int(draw.integers(256))
        cv2.circle(scene, centre, round(float(2.0 * (1.0 - draw.random()) ** -0.5)), (grey,) * 3, -1)
    return scene


def word(height: int, width: int) -> NDArray[np.float32]:
    """The coverage of a word, 0 to 1, antialiased."""
    large = np.zeros((4 * height, 4 * width), np.uint8)
    cv2.putText(large, "halo", (2 * width // 3, 5 * height // 2), cv2.FONT_HERSHEY_SIMPLEX, 9.0, (255,), 34)
    return cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def stained(picture: NDArray[np.float32], mask: Image) -> NDArray[np.bool_]:
    """Where the mask is as high as the picture (h, w, channels) follows it."""
    return mask >= stained_from(np.moveaxis(picture, 2, 0), mask).repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 16), st.integers(1, 16), st.sampled_from([1, 3]), SEEDS)
def test_a_value_does_not_depend_on_the_pictures_offset_nor_its_sign(rows: int, columns: int, channels: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    height, width = rows * CELL_PX, columns * CELL_PX
    picture = np.stack([cv2.blur(plane, (3, 3)) for plane in draw.integers(0, 200, (channels, height, width), np.uint8)])
    mask = cv2.blur(np.where(draw.random((height, width)) < 0.05, 255, 0).astype(np.uint8), (5, 5))
    colour = picture.astype(np.float32)
    found = stained_from(colour, mask)
    assert found.shape == (rows, columns)
    assert set(np.unique(found)) <= {step * (256 // STEPS) for step in range(STEPS + 1)}
    for same in (colour + draw.integers(0, 50), 255 - colour, colour[::-1]):
        np.testing.assert_array_equal(stained_from(same, mask), found)


@settings(max_examples=30, deadline=None)
@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0.5, 6), st.integers(-40, 40), SEEDS)
def test_a_slope_is_no_stroke(slope_y: float, slope_x: float, sigma: float, tilt: int, seed: int) -> None:
    """Straight edges of any direction and softness: what changes beside the mask as it does under it is the scene's."""
    y, x = np.mgrid[:160, :160].astype(np.float32)
    noise = np.random.default_rng(seed).normal(0, 2, (160, 160))
    picture = (128 + slope_y * (y - 80) + slope_x * (x - 80) + noise).astype(np.float32)[:, :, None]
    mask = cv2.GaussianBlur(np.where(x + tilt / 40 * y > 80 + tilt, 255, 0).astype(np.uint8), (0, 0), sigma)
    assert stained(picture, mask)[(mask > 0) & (mask < 255)].mean() < 0.1, "none but where chance or a corner has it so"


@pytest.mark.parametrize("colour", [0, 255])
def test_a_scene_is_no_stroke_and_a_stroke_in_it_is_one(colour: int) -> None:
    coverage = word(160, 240)
    mask = np.rint(coverage * 255).astype(np.uint8)
    soft = (mask > 16) & (mask < 240)
    shares: list[tuple[float, float]] = []
    for seed in range(12):
        scene = leaves(160, 240, seed).astype(np.float32)
        drawn = scene + coverage[:, :, None] * (colour - scene)
        shares.append((stained(scene, mask)[soft].mean(), stained(drawn, mask)[soft].mean()))
    without, within = np.mean(shares, axis=0)
    assert without < 0.05
    assert within > 0.95


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("colour", [255, 0])
@pytest.mark.parametrize(("soft", "most"), [("coverage", 0.005), ("feathered", 0.08)])
def test_a_soft_mask_on_a_strokes_own_edge_leaves_no_line_over_a_busy_scene(
    seed: int, colour: int, soft: str, most: float
) -> None:
    truth, coverage = leaves(160, 240, seed), word(160, 240)
    drawn = np.rint(truth + coverage[:, :, None] * (colour - truth.astype(np.float32))).astype(np.uint8)
    exact = np.where(coverage > 0, 255, 0).astype(np.uint8)
    mask = cv2.GaussianBlur(exact, (0, 0), 2.0) if soft == "feathered" else np.rint(coverage * 255).astype(np.uint8)
    rim = (coverage > 0.1) & (coverage < 0.9)

    def left(by: Image) -> float:
        return float((composite(drawn, truth, by).astype(np.float32) - truth)[rim].mean()) / (colour - float(truth[rim].mean()))

    assert abs(left(alpha(mask, stain(drawn, mask)))) < most
    assert abs(left(mask)) > 0.15, "or there is nothing to prove"
