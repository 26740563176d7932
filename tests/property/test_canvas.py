"""Laws of sewing: an identity model gives the input back bit for bit, whatever the grid, the order and what is skipped."""

from unittest import mock

import numpy as np
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retouch_server.geometry import Rect
from retouch_server.imaging import blend as blending
from retouch_server.imaging.blend import CELL_PX, TOLERANCE, blend, composite, disagreement, join
from retouch_server.imaging.canvas import Canvas, Strip
from retouch_server.imaging.rows import Band, Pixels, RowBuffer
from retouch_server.tiling import TileGrid, ramps
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
        background = None if len(coming) == len(row.tiles) else image[row.row.extent.slice]
        strip = Strip(grid, row, scale, image.shape[2], [tile.index for tile in coming], background)
        draw.shuffle(coming)
        for tile in coming:
            window = tile.window
            result = nearest(image[window.rows.slice, window.columns.slice], scale) + np.uint8(shift * (tile.index % 2))
            strip.paste(tile, result)
        below = rows[number + 1].row.extent.start if number + 1 < len(rows) else None
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


@given(grids(), st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_a_fill_whose_tone_drifts_stays_inside_its_mask_however_widely_it_is_blended(
    grid: TileGrid, seed: int, drift: int
) -> None:
    draw = np.random.default_rng(seed)
    image = images(draw, grid.height, grid.width, 3) // 2
    mask = np.zeros((grid.height, grid.width), np.bool_)
    for _ in range(draw.integers(1, 4)):
        y, x = draw.integers(0, grid.height), draw.integers(0, grid.width)
        mask[y : y + draw.integers(1, 60), x : x + draw.integers(1, 60)] = True
    canvas, bands, rows = Canvas(1), list[Band](), list(grid)
    for number, row in enumerate(rows):
        touched = [t for t in row.tiles if mask[t.reach.rows.slice, t.reach.columns.slice].any()]
        strip = Strip(grid, row, 1, 3, [tile.index for tile in touched], image[row.row.extent.slice])
        for tile in touched:
            place = tile.window.rows.slice, tile.window.columns.slice
            strip.paste(tile, image[place] + (mask[place][:, :, None] * draw.integers(1, drift + 2)).astype(np.uint8))
        bands += canvas.add(strip, rows[number + 1].row.extent.start if number + 1 < len(rows) else None)
    change = np.concatenate([band.pixels for band in bands]).astype(int) - image
    assert not change[~mask].any()
    assert ((change[mask] >= 1) & (change[mask] <= drift + 1)).all()


@st.composite
def sides(draw: st.DrawFn) -> tuple[Pixels, Pixels, int]:
    """Two sides of a border, of any size and shape, and the axis across it."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 150)), draw(st.integers(1, 150)), draw(st.sampled_from([1, 3, 4])))
    return images(random, *shape), images(random, *shape), draw(st.sampled_from([0, 1]))


@given(sides(), st.floats(0, 1))
def test_where_sides_are_equal_a_blend_changes_nothing(pair: tuple[Pixels, Pixels, int], share: float) -> None:
    first, second, axis = pair
    assert np.array_equal(blend(first, first.copy(), axis), first)
    equal = np.random.default_rng(0).random(first.shape) < share
    second[equal] = first[equal]
    assert np.array_equal(blend(first, second, axis)[equal], first[equal])


@given(sides())
def test_each_pixel_stays_between_its_sides(pair: tuple[Pixels, Pixels, int]) -> None:
    first, second, axis = pair
    mixed = blend(first, second, axis)
    assert mixed.shape == first.shape
    assert (mixed >= np.minimum(first, second)).all()
    assert (mixed <= np.maximum(first, second)).all()


@given(sides())
def test_the_outermost_lines_of_a_wide_zone_are_those_of_the_sides(pair: tuple[Pixels, Pixels, int]) -> None:
    first, second, axis = pair
    assume(len(ramps(first.shape[axis])) > 1)
    mixed = blend(first, second, axis).swapaxes(0, axis)
    assert np.array_equal(mixed[0], first.swapaxes(0, axis)[0])
    assert np.array_equal(mixed[-1], second.swapaxes(0, axis)[-1])


@given(st.integers(0, 255), st.integers(0, 255), st.integers(2, 300))
def test_a_blend_goes_from_the_first_to_the_second(a: int, b: int, length: int) -> None:
    first, second = np.full((length, 8, 1), a, np.uint8), np.full((length, 8, 1), b, np.uint8)
    mixed = blend(first, second, 0)[:, :, 0].mean(axis=1)
    steps = np.diff(mixed) * (1 if a <= b else -1)
    # A row of the dither's square is off by half a level at most.
    assert steps.min() >= -1
    # A difference in tone fades over most of the zone: no step is much larger than that of a straight line.
    assert steps.max() <= 1 + 2.5 * abs(b - a) / length
    mirrored = blend(second, first, 0)[::-1, :, 0].mean(axis=1)
    assert np.abs(mirrored - mixed).max() <= 1 + abs(b - a) / 8


def test_a_difference_of_one_level_makes_no_contour() -> None:
    first = np.full((64, 64, 3), 100, np.uint8)
    mixed = blend(first, first + 1, 1)
    assert np.array_equal(mixed[:, 0], first[:, 0])
    assert (mixed[:, -1] == 101).all()
    squares = (mixed - first).reshape(64, 8, 8, 3).mean(axis=(0, 2, 3))
    assert (np.diff(squares) >= 0).all()
    assert np.diff(squares).max() < 0.3  # rounded, all would change in one place


@given(st.integers(1, 130), st.integers(1, 700), st.sampled_from([0, 1]), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_a_border_blended_in_pieces_is_one_blended_at_once(across: int, length: int, axis: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (across, length, 3) if axis == 0 else (length, across, 3)
    first, second = images(random, *shape), images(random, *shape)
    with mock.patch.object(blending, "PIECE_PX", 128):
        pieces = blend(first, second, axis)
    # Sums in another order round to another level now and then.
    difference = np.abs(pieces.astype(int) - blend(first, second, axis))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.001


def test_detail_changes_sides_near_the_middle_and_is_not_averaged() -> None:
    random = np.random.default_rng(1)
    first, second = (images(random, 200, 64, 1) // 2 + 64 for _ in range(2))
    mixed = blend(first, second, 1)
    whole = first.std()
    for columns in (slice(8, 24), slice(40, 56)):
        assert mixed[:, columns].std() > 0.95 * whole  # averaging would leave 0.71 of it at the middle, 0.8 here
    assert np.abs(mixed[:, :20].astype(int) - first[:, :20]).mean() < 2


@given(sides(), st.integers(0, 20))
def test_sides_that_agree_are_joined_where_both_are_sure(pair: tuple[Pixels, Pixels, int], margin: int) -> None:
    first, other, axis = pair
    n = first.shape[axis]
    margin = min(margin, n // 2)
    second = first.copy()
    lines = second.swapaxes(0, axis)
    if 2 * margin < n:  # beyond the zone that decides, anything may stand
        lines[:margin], lines[n - margin :] = other.swapaxes(0, axis)[:margin], other.swapaxes(0, axis)[n - margin :]
    out = np.empty_like(first)
    assert not join(first, second, axis, margin, out).is_widened
    before, behind = slice(0, margin), slice(n - margin, n)
    assert np.array_equal(out.swapaxes(0, axis)[before], first.swapaxes(0, axis)[before])
    assert np.array_equal(out.swapaxes(0, axis)[behind], second.swapaxes(0, axis)[behind])
    assert np.array_equal(out.swapaxes(0, axis)[margin : n - margin], first.swapaxes(0, axis)[margin : n - margin])
    again = first.copy()
    join(again, second, axis, margin, again)
    assert np.array_equal(again, out)


@given(st.integers(2, 60), st.integers(1, 300), st.sampled_from([0, 1]), st.data())
def test_sides_that_disagree_anywhere_along_a_border_are_joined_over_all_that_both_cover(
    across: int, length: int, axis: int, data: st.DataObject
) -> None:
    margin = data.draw(st.integers(1, across // 2))
    shape = (across, length, 3) if axis == 0 else (length, across, 3)
    first = images(np.random.default_rng(across), *shape) // 2
    second = first.copy()
    start = data.draw(st.integers(0, max(0, length // CELL_PX - 1))) * CELL_PX
    second.swapaxes(0, 1 - axis)[start : start + CELL_PX] += 20
    assert disagreement(first, second, axis) > TOLERANCE
    out = np.empty_like(first)
    assert join(first, second, axis, margin, out).is_widened
    assert np.array_equal(out, blend(first, second, axis))
    assert not join(first, second, axis, 0, out).is_widened  # nothing to grow into


@given(st.integers(0, 40), st.sampled_from([0, 1]), st.integers(1, 400))
def test_noise_is_no_disagreement(noise: int, axis: int, length: int) -> None:
    random = np.random.default_rng(noise)
    shape = (24, CELL_PX * length, 3) if axis == 0 else (CELL_PX * length, 24, 3)
    first = np.full(shape, 128, np.uint8)
    second = (128 + (random.random(shape) < noise / 100)).astype(np.uint8)
    assert disagreement(first, second, axis) <= TOLERANCE


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
