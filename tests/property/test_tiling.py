"""Laws of the grid: integers only."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retouch_server.geometry import Rect, Span
from retouch_server.tiling import TileGrid, ramps
from retouch_server.tiling.grid import axis_tiles
from retouch_server.tiling.ramps import COARSEST

Axis = tuple[int, int, int, int, int]


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    """(length, window, halo, blend, multiple) as a grid allows them."""
    halo, multiple = draw(st.integers(0, 40)), draw(st.sampled_from([1, 1, 2, 8, 32]))
    window = multiple * draw(st.integers(-(-2 * halo // multiple) + 1, 2 * halo // multiple + 1 + 100 // multiple))
    return draw(st.integers(1, 2000)), window, halo, draw(st.integers(0, halo)), multiple


@given(axes())
def test_cores_partition_the_axis(axis: Axis) -> None:
    tiles = axis_tiles(*axis)
    assert tiles[0].core.start == 0
    assert tiles[-1].core.stop == axis[0]
    assert all(above.core.stop == below.core.start for above, below in pairwise(tiles))
    assert all(tile.core.length > 0 for tile in tiles)


@given(axes())
def test_windows_have_one_size_and_hold_core_and_halo(axis: Axis) -> None:
    length, window, halo, _, multiple = axis
    for tile in axis_tiles(*axis):
        if tile.window.stop < length or multiple == 1:
            assert tile.window.length == min(window, length)
        assert tile.window.start % multiple == 0
        padded = -(-tile.window.length // multiple) * multiple
        assert padded == (window if length > window else -(-length // multiple) * multiple)
        wanted = tile.core.grow(halo).clip(Span(0, length))
        assert tile.window.start <= wanted.start
        assert wanted.stop <= tile.window.stop
        assert tile.window.start >= 0
        assert tile.window.stop <= length


@given(axes())
def test_neighbours_blend_over_one_zone_where_both_have_their_context(axis: Axis) -> None:
    length, _, halo, blend, _ = axis
    tiles = axis_tiles(*axis)
    for first, second in pairwise(tiles):
        border = first.core.stop
        reach = first.reach.stop - border
        assert border - second.reach.start == reach
        assert 0 <= reach <= blend
        # Within the zone each neighbour still sees halo - blend px beyond.
        assert first.window.stop - first.reach.stop >= halo - reach
        assert second.reach.start - second.window.start >= halo - reach
    for tile in tiles:
        assert Span(0, length).clip(tile.reach) == tile.reach


@given(axes())
def test_where_they_disagree_neighbours_may_blend_over_at_least_the_halo_and_never_past_a_window(
    axis: Axis,
) -> None:
    length, _, halo, _, _ = axis
    tiles = axis_tiles(*axis)
    room = min(tile.core.length for tile in tiles) // 2
    for first, second in pairwise(tiles):
        border = first.core.stop
        extent = first.extent.stop - border
        assert border - second.extent.start == extent
        assert min(halo, room) <= extent <= room
    for tile in tiles:
        for inner, outer in pairwise((tile.core, tile.reach, tile.extent, tile.window, Span(0, length))):
            assert inner.clip(outer) == inner


@given(axes(), st.booleans())
def test_the_two_zones_of_a_core_do_not_meet(axis: Axis, is_wide: bool) -> None:
    spans = [tile.extent if is_wide else tile.reach for tile in axis_tiles(*axis)]
    zones = [Span(second.start, first.stop) for first, second in pairwise(spans)]
    assert all(above.stop <= below.start for above, below in pairwise(zones))


@given(axes(), st.integers(1, 300))
@settings(max_examples=25)
def test_a_grid_counts_its_tiles_and_its_cores_partition_the_image(axis: Axis, width: int) -> None:
    length, window, halo, blend, _ = axis
    height = 1 + length % 300
    grid = TileGrid(height, width, max(window, 10 + 2 * halo), halo, blend)
    tiles = [tile for row in grid for tile in row.tiles]
    assert [tile.index for tile in tiles] == list(range(len(grid)))
    image = Rect(0, 0, height, width)
    assert sum(tile.core.area for tile in tiles) == image.area
    for tile in tiles:
        assert image.contains(tile.window)
        assert tile.window.contains(tile.core)


@pytest.mark.parametrize(("window", "halo", "blend"), [(8, 4, 0), (8, 5, 0), (8, 2, 3), (8, 2, -1)])
def test_a_window_without_room_for_a_core_is_refused(window: int, halo: int, blend: int) -> None:
    with pytest.raises(ValueError, match="need blend"):
        TileGrid(10, 10, window, halo, blend)


@pytest.mark.parametrize(("window", "halo", "multiple"), [(12, 2, 8), (16, 5, 8)])
def test_a_window_that_does_not_suit_its_multiple_is_refused(window: int, halo: int, multiple: int) -> None:
    with pytest.raises(ValueError, match="whole multiples of 8"):
        TileGrid(10, 10, window, halo, 0, multiple)


@given(st.integers(0, 5000))
def test_ramps_rise_from_0_to_1_at_every_level(n: int) -> None:
    levels = ramps(n)
    for level, weights in enumerate(levels):
        assert weights.shape == (-(-n // 2**level),)
        assert weights.dtype == np.float32
        assert ((weights >= 0) & (weights <= 1)).all()
        assert (np.diff(weights) >= 0).all()
        if len(levels) > 1:
            assert len(weights) >= COARSEST
            assert (weights[:2] == 0).all()
            assert weights[-1] == 1


@given(st.integers(0, 14))
def test_a_ramp_of_one_level_gives_both_sides_the_same(n: int) -> None:
    (weights,) = ramps(n)
    assert np.allclose(weights + weights[::-1], 1)


@given(st.integers(-50, 50), st.integers(0, 50), st.integers(-50, 50), st.integers(0, 50))
def test_clipping_is_meeting(a: int, n: int, b: int, m: int) -> None:
    clipped = Span(a, a + n).clip(Span(b, b + m))
    assert set(range(a, a + n)) & set(range(b, b + m)) == set(range(clipped.start, clipped.stop))
    assert Span(a, a + n).clip(Span(b, b + m)).length == Span(b, b + m).clip(Span(a, a + n)).length
