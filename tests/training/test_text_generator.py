"""The generator of overlay text, without the fonts that only training has: its laws, on logos and a layer of our own."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ImageFont

from tests.models.pictures import texture
from training.text import generator, layers, patterns, shapes, words


def canvas(side_px: int = 96) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A line in Pillow's own font, on a canvas."""
    look = layers.look(np.random.default_rng(5), 24)
    line = layers.styled("Sale 50%", ImageFont.load_default(24), look)
    drawn, area = np.zeros((side_px, side_px, 4), np.float32), np.zeros((side_px, side_px), bool)
    generator.paste(drawn, area, line, 30, 8)
    return drawn, area


def test_the_strokes_are_what_the_overlay_changed() -> None:
    clean = texture(96, 96)
    layer, area = canvas()
    made = generator.finish(np.random.default_rng(1), clean, layer, area)
    assert made.strokes.any()
    assert (made.alpha[made.strokes] > 0).all()
    assert made.area[made.strokes].all()
    assert np.abs(made.composited.astype(int) - made.clean)[made.strokes].mean() > generator.VISIBLE_LEVELS


def test_without_compression_nothing_else_changes() -> None:
    clean = texture(96, 96)
    layer, area = canvas()
    finished = (generator.finish(np.random.default_rng(seed), clean, layer, area) for seed in range(99))
    made = next(each for each in finished if np.array_equal(each.clean, clean))
    np.testing.assert_array_equal(made.composited[made.alpha == 0], clean[made.alpha == 0])


@pytest.mark.parametrize("seed", range(20))
def test_a_logo_is_premultiplied_and_within_its_bounds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logo = shapes.logo(rng, layers.look(rng, 40))
    assert logo.dtype == np.float32
    assert logo.min() >= 0
    assert logo[..., 3].max() <= 1 + 1e-5
    assert (logo[..., :3] <= 255 * logo[..., 3:] + 1e-2).all()


@pytest.mark.parametrize("pattern", [patterns.railing, patterns.windows, patterns.print_like, patterns.cut_out])
def test_patterns_are_drawn_by_their_seed(pattern: Callable[..., NDArray[np.float64]]) -> None:
    picture, other = texture(64, 64), texture(64, 64, seed=1)
    one, two = (pattern(np.random.default_rng(3), picture.astype(np.float32), other) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == picture.shape


@pytest.mark.parametrize("script", words.SCRIPTS)
def test_lines_are_short_enough_and_never_empty(script: str) -> None:
    rng = np.random.default_rng(0)
    for most in (2, 5, 20, 80):
        for _ in range(50):
            line = words.line(rng, script, most)
            assert line.strip()
            assert len(line) <= 4 * most
