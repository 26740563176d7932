"""Laws of sewing: an identity model gives the input back bit for bit, whatever the grid, the order and what is skipped."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from retouch_server.geometry import Rect
from retouch_server.imaging.blend import blend, composite
from retouch_server.imaging.canvas import Canvas, Strip
from retouch_server.imaging.rows import Band, Pixels, RowBuffer
from retouch_server.tiling import TileGrid
from tests.support.models import nearest


@st.composite
def grids(draw: st.DrawFn) -> TileGrid:
    halo = draw(st.integers(0, 12))
    window = draw(st.integers(2 * halo + 1, 2 * halo + 30))
    return TileGrid(draw(st.integers(1, 90)), draw(st.integers(1, 90)), window, halo, draw(st.integers(0, halo)))


def sewn(grid: TileGrid, image: Pixels, scale: int, runs: set[int], draw: np.random.Generator, shift: int = 0) -> Pixels:
    """What canvas and strips make of an identity model; `shift` is added to each tile's pixels, modulo 2, by its index."""
    canvas, bands = Canvas(scale), list[Band]()
    rows = list(grid)
    for number, row in enumerate(rows):
        coming = [tile for tile in row.tiles if tile.index in runs]
        background = None if len(coming) == len(row.tiles) else image[row.row.reach.slice]
        strip = Strip(grid, row, scale, image.shape[2], [tile.index for tile in coming], background)
        draw.shuffle(coming)
        for tile in coming:
            window = tile.window
            result = nearest(image[window.rows.slice, window.columns.slice], scale) + np.uint8(shift * (tile.index % 2))
            strip.paste(tile, result)
        below = rows[number + 1].row.reach.start if number + 1 < len(rows) else None
        bands += canvas.add(strip, below)
    y = 0
    for band in bands:
        assert band.y == y
        assert band.pixels.shape[0] > 0
        y = band.rows.stop
    return np.concatenate([band.pixels for band in bands])


@given(grids(), st.sampled_from([1, 2, 4]), st.sampled_from([1, 3, 4]), st.integers(0, 2**32 - 1), st.floats(0, 1))
@example(TileGrid(1, 1, 1, 0, 0), 4, 1, 0, 1.0)
def test_an_identity_model_gives_the_input_back(grid: TileGrid, scale: int, channels: int, seed: int, share: float) -> None:
    draw = np.random.default_rng(seed)
    image = draw.integers(0, 256, (grid.height, grid.width, channels), np.uint8)
    # Only at scale 1 can a tile be left out: the background stands for it.
    runs = {index for index in range(len(grid)) if scale > 1 or draw.random() < share}
    result = sewn(grid, image, scale, runs, draw)
    assert np.array_equal(result, nearest(image, scale))


@given(grids(), st.integers(0, 254), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_the_order_of_pasting_changes_nothing(grid: TileGrid, level: int, first: int, second: int) -> None:
    image = np.full((grid.height, grid.width, 1), level, np.uint8)
    everything = set(range(len(grid)))
    one, other = (sewn(grid, image, 1, everything, np.random.default_rng(seed), shift=1) for seed in (first, second))
    assert np.array_equal(one, other)
    assert set(np.unique(one)) <= {level, level + 1}  # neighbours that differ by one level mix to one of both


@given(st.integers(0, 255), st.integers(1, 40), st.integers(1, 8), st.sampled_from([0, 1]))
def test_equal_sides_blend_to_themselves(level: int, length: int, across: int, axis: int) -> None:
    shape = (length, across, 3) if axis == 0 else (across, length, 3)
    side = np.full(shape, level, np.uint8)
    assert np.array_equal(blend(side, side, axis), side)


@given(st.integers(0, 255), st.integers(0, 255), st.integers(2, 60))
def test_a_blend_goes_from_the_first_to_the_second(a: int, b: int, length: int) -> None:
    first, second = np.full((length, 1, 1), a, np.uint8), np.full((length, 1, 1), b, np.uint8)
    steps = np.diff(blend(first, second, 0)[:, 0, 0].astype(int))
    assert (steps >= 0).all() if a <= b else (steps <= 0).all()
    mirrored = blend(second[:, :, :], first, 0)[::-1]
    assert np.abs(mirrored.astype(int) - blend(first, second, 0)).max() <= 1


def images(draw: np.random.Generator, *shape: int) -> NDArray[np.uint8]:
    return draw.integers(0, 256, shape, np.uint8)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 4]))
def test_composite_keeps_at_0_fills_at_255_and_stays_between(seed: int, channels: int) -> None:
    draw = np.random.default_rng(seed)
    source, fill = images(draw, 9, 11, channels), images(draw, 9, 11, channels)
    mask = draw.choice(np.array([0, 1, 127, 128, 254, 255], np.uint8), (9, 11))
    result = composite(source, fill, mask)
    assert np.array_equal(result[mask == 0], source[mask == 0])
    assert np.array_equal(result[mask == 255], fill[mask == 255])
    assert (result >= np.minimum(source, fill)).all()
    assert (result <= np.maximum(source, fill)).all()
    assert np.array_equal(composite(source, source, mask), source)


def test_composite_is_exact_for_every_level() -> None:
    source, fill = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    for alpha in (0, 1, 2, 100, 127, 128, 200, 254, 255):
        got = composite(source[:, :, None], fill[:, :, None], np.full(source.shape, alpha, np.uint8))[:, :, 0]
        exact = (source.astype(float) * (255 - alpha) + fill.astype(float) * alpha) / 255
        assert np.abs(got - exact).max() <= 0.5


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.data())
def test_a_row_buffer_gives_any_rows_that_it_still_has(heights: list[int], data: st.DataObject) -> None:
    image = np.arange(sum(heights), dtype=np.uint8)[:, None, None].repeat(2, axis=1)
    buffer, y = RowBuffer(), 0
    released = 0
    for height in heights:
        buffer.append(Band(y, image[y : y + height]))
        y += height
        span = Rect(data.draw(st.integers(released, y - 1)), 0, 1, 1).rows
        assert np.array_equal(buffer.rows(span), image[span.slice])
        released = data.draw(st.integers(released, y))
        buffer.release(released)
    assert buffer.stop == y
