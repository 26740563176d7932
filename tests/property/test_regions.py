"""Laws of regions: every masked pixel lies in exactly one, and a stage's mask is the mask cut to some of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from retouch_server.geometry import Rect
from retouch_server.imaging.mask import Mask
from retouch_server.pipeline.regions import RegionMap, StageMask, find_regions


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.uint8]:
    """Blobs, lines and single faint pixels."""
    height, width = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    pixels = np.zeros((height, width), np.uint8)
    for _ in range(draw(st.integers(0, 6))):
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        h, w = draw(st.sampled_from([1, 2, 9, 70])), draw(st.sampled_from([1, 3, 40]))
        pixels[y : y + h, x : x + w] = draw(st.sampled_from([1, 128, 255]))
    return pixels


def labels_of_pixels(regions: RegionMap, shape: tuple[int, ...]) -> NDArray[np.int32]:
    grown = regions.labels.repeat(regions.cell_px, axis=0).repeat(regions.cell_px, axis=1)
    return grown[: shape[0], : shape[1]]


@given(masks())
def test_every_masked_pixel_lies_in_exactly_one_region(pixels: NDArray[np.uint8]) -> None:
    regions = find_regions(Mask.from_array(pixels))
    labels = labels_of_pixels(regions, pixels.shape)
    assert (labels[pixels > 0] > 0).all()
    assert set(np.unique(labels[pixels > 0])) == set(range(1, len(regions) + 1))
    assert len(regions.areas_px) == len(regions)
    for label, bounds in enumerate(regions.bounds, start=1):
        rows, columns = np.nonzero((labels == label) & (pixels > 0))
        inside = Rect(int(rows.min()), int(columns.min()), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)
        assert bounds.contains(inside)
        assert Rect(0, 0, *pixels.shape).contains(bounds)
    assert list(regions.areas_px) == sorted(regions.areas_px, reverse=True)


@given(masks(), st.data())
def test_a_stage_mask_is_the_mask_in_the_regions_it_keeps(pixels: NDArray[np.uint8], data: st.DataObject) -> None:
    mask = Mask.from_array(pixels)
    regions = find_regions(mask)
    keep = data.draw(st.sets(st.integers(1, max(1, len(regions)))))
    stage = StageMask(mask, regions, keep)
    wanted = np.where(np.isin(labels_of_pixels(regions, pixels.shape), sorted(keep)), pixels, 0)
    whole = Rect(0, 0, *pixels.shape)
    assert np.array_equal(stage.window(whole), wanted)
    y, x = data.draw(st.integers(0, whole.height - 1)), data.draw(st.integers(0, whole.width - 1))
    rect = Rect(y, x, data.draw(st.integers(1, whole.height - y)), data.draw(st.integers(1, whole.width - x)))
    window = wanted[rect.y : rect.bottom, rect.x : rect.right]
    assert np.array_equal(stage.window(rect), window)
    assert stage.any(rect) == bool(window.any())


@given(masks())
def test_keeping_all_regions_keeps_the_mask(pixels: NDArray[np.uint8]) -> None:
    mask = Mask.from_array(pixels)
    regions = find_regions(mask)
    whole = Rect(0, 0, *pixels.shape)
    for stage in (StageMask(mask), StageMask(mask, regions, range(1, len(regions) + 1))):
        assert np.array_equal(stage.window(whole), pixels)


def test_near_parts_are_one_region_and_far_ones_are_two() -> None:
    pixels = np.zeros((1000, 1000), np.uint8)
    pixels[100:140, 100:110] = pixels[100:140, 116:130] = 255  # two letters
    pixels[800:900, 800:900] = 255
    regions = find_regions(Mask.from_array(pixels))
    assert len(regions) == 2
    assert regions.bounds[0].contains(Rect(800, 800, 100, 100))
    assert regions.bounds[1].contains(Rect(100, 100, 40, 30))
    assert regions.areas_px == (10_000, 960)


def test_an_empty_mask_has_no_region() -> None:
    assert len(find_regions(Mask.full(700, 300, 0))) == 0


@given(masks(), st.data())
def test_what_is_near_a_hole_is_its_box_grown_by_its_own_size(pixels: NDArray[np.uint8], data: st.DataObject) -> None:
    """Of masks without regions, to the pixel."""
    height, width = pixels.shape
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rect = Rect(y, x, data.draw(st.integers(1, height - y)), data.draw(st.integers(1, width - x)))
    window = pixels[rect.y : rect.bottom, rect.x : rect.right] > 0
    rows, columns = np.nonzero(window)
    near = np.zeros_like(window)
    if rows.size:
        tall, wide = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
        top, left = max(0, int(rows.min()) - tall), max(0, int(columns.min()) - wide)
        near[top : rows.max() + 1 + tall, left : columns.max() + 1 + wide] = True
    assert StageMask(Mask.from_array(pixels)).hole([rect, rect]) == (2 * window.sum(), 2 * near.sum())


def test_what_is_near_a_hole_is_known_to_the_cell_where_regions_are() -> None:
    pixels = np.zeros((400, 400), np.uint8)
    pixels[100:140, 200:240] = 255
    mask = Mask.from_array(pixels)
    regions = find_regions(mask)
    whole = Rect(0, 0, 400, 400)
    assert StageMask(mask, regions, [1]).hole([whole]) == (1600, 120 * 120)
    assert StageMask(mask, regions, [1]).hole([whole], np.full(regions.labels.shape, 0.5)) == (800, 120 * 120)
    assert StageMask(mask, regions, []).hole([whole]) == (0, 0)
