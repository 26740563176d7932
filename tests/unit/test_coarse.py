"""Coarse to fine: which holes need it, what the windows are told, and that nothing else changes."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from retouch_server.geometry import Rect, Span
from retouch_server.imaging.mask import Mask
from retouch_server.imaging.proxy import ProxyBuilder
from retouch_server.models.backend import Array
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.dispatch import Dispatcher
from retouch_server.models.fake import FakeBackend
from retouch_server.models.spec import Kind
from retouch_server.pipeline.coarse import Coarse, find_coarse
from retouch_server.pipeline.findings import Findings, unjudged
from retouch_server.pipeline.guesses import SIZES, draw_guide, settle
from retouch_server.pipeline.guide import Guide, cut, hole_over
from retouch_server.pipeline.plan import Plan, make_plan
from retouch_server.pipeline.reference import Surroundings
from retouch_server.pipeline.regions import StageMask, find_regions
from retouch_server.pipeline.request import EditRequest, Inpaint, Options, TextRemoval
from retouch_server.pipeline.stages.job import Fill, View
from retouch_server.tiling import TileGrid
from tests.support.models import fake_models, spec
from tests.support.wire import Image, noise

SIZE = 300
GUIDED = frozenset({"image", "mask", "guide", "guide_px", "reference"})
SPEC = spec("inpaint_classical", Kind.INPAINT, "classical", inputs=GUIDED)
GRID = TileGrid(SIZE, SIZE, SPEC.window_px, SPEC.halo_px, SPEC.blend_px)


def holes(*rects: Rect) -> Mask:
    pixels = np.zeros((SIZE, SIZE), np.uint8)
    for rect in rects:
        pixels[rect.rows.slice, rect.columns.slice] = 255
    return Mask.from_array(pixels)


LARGE, SMALL = Rect(60, 80, 120, 100), Rect(250, 20, 12, 12)


def coarse_of(mask: Mask) -> Coarse | None:
    regions = find_regions(mask)
    return find_coarse(regions, range(1, len(regions) + 1), GRID)


def found(mask: Mask) -> Coarse:
    coarse = coarse_of(mask)
    assert coarse is not None
    return coarse


async def plan(mask: Mask, *, has_proxy: bool = True, inputs: frozenset[str] = GUIDED) -> Plan:
    fill = spec("inpaint_classical", Kind.INPAINT, "classical", inputs=inputs)
    catalogue = Catalogue(FakeBackend(fake_models(inpaint_classical=(fill, lambda given: given))))
    await catalogue.refresh()
    findings = unjudged(find_regions(mask))
    if has_proxy:
        findings = Findings(findings.regions, findings.found, judged=True)
    options = Options(text_removal=TextRemoval.NEVER, inpaint=Inpaint.CLASSICAL)
    return make_plan(EditRequest(SIZE, SIZE, 3, mask, options=options), findings, catalogue)


def mean_fill(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """A model: the hole gets the mean of what is known."""
    hole = inputs["mask"][:, :, 0] > 0
    filled = inputs["image"].copy()
    filled[hole] = filled[~hole].mean(axis=0).round() if (~hole).any() else 128
    return {"result": filled}


async def guide_of(mask: Mask, image: Image) -> tuple[Guide, FakeBackend]:
    builder = ProxyBuilder(SIZE, SIZE)
    builder.add(image)
    backend = FakeBackend({"inpaint_classical": (SPEC, mean_fill)})
    with ThreadPoolExecutor(1) as executor:
        house = (Dispatcher(backend), executor)
        guide = await draw_guide(found(mask), (builder.finish(), (SIZE, SIZE)), SPEC, house, lambda: None)
    return guide, backend


def inputs_of(job: Fill, view: View) -> Mapping[str, Array]:
    """What the model is told of a window."""
    prepared = job.prepare(view)
    assert prepared.call is not None
    return prepared.call.inputs


def test_a_hole_larger_than_a_window_is_deep_and_its_crop_shows_what_is_around_it() -> None:
    coarse = found(holes(LARGE, SMALL))
    (crop,) = coarse.crops
    assert crop.contains(LARGE)
    assert min(crop.height - LARGE.height, crop.width - LARGE.width) >= LARGE.width // 2
    over = coarse.over(Rect(0, 0, SIZE, SIZE))
    assert (over[LARGE.rows.slice, LARGE.columns.slice] == 1).all()
    assert not over[SMALL.rows.slice, SMALL.columns.slice].any()


@pytest.mark.parametrize(
    "rect",
    [SMALL, Rect(100, 0, 20, SIZE), Rect(0, 0, 32, 32)],
    ids=["small", "long but thin", "deep, but in the one window that has a share in it"],
)
def test_a_hole_that_windows_see_enough_of_is_not_deep(rect: Rect) -> None:
    assert coarse_of(holes(rect)) is None


def test_a_mask_that_leaves_nothing_to_fill_from_has_no_coarse_fill() -> None:
    assert coarse_of(holes(Rect(0, 0, SIZE, SIZE))) is None


async def test_the_plan_says_so_and_counts_the_windows_of_the_coarse_fill() -> None:
    mask = holes(LARGE, Rect(200, 100, 95, 95))
    guided, plain = await plan(mask), await plan(mask, inputs=frozenset({"image", "mask"}))
    (stage,), (without,) = guided.stages, plain.stages
    assert stage.coarse is not None
    assert "2 holes are too large for a window" in stage.reason
    assert stage.run_px == without.run_px + 2 * SPEC.window_px**2
    assert not guided.warnings
    assert without.coarse is None
    assert any("lie wholly within a hole" in warning for warning in plain.warnings)


async def test_without_a_proxy_there_is_no_guide_and_the_warning_stays() -> None:
    made = await plan(holes(LARGE), has_proxy=False)
    assert made.stages[0].coarse is None
    assert any("lie wholly within a hole" in warning for warning in made.warnings)


async def test_a_pixel_has_the_same_guide_in_every_window() -> None:
    guide, backend = await guide_of(holes(LARGE), noise(SIZE, SIZE))
    whole = guide.over(Rect(0, 0, SIZE, SIZE))
    assert backend.calls == ["inpaint_classical"] * len(SIZES), "as many guesses for one hole"
    for row in GRID:
        for tile in row.tiles:
            window = tile.window
            np.testing.assert_array_equal(guide.over(window), whole[window.rows.slice, window.columns.slice])
    assert (whole[LARGE.rows.slice, LARGE.columns.slice, 3] == 255).all()
    assert not whole[SMALL.rows.slice, SMALL.columns.slice].any()


async def test_the_guide_lies_where_the_picture_does() -> None:
    y, x = np.mgrid[:SIZE, :SIZE]
    slopes = np.stack([y * 0.8, x * 0.8, (x + y) * 0.4], axis=2).round().astype(np.uint8)
    coarse = found(holes(LARGE))
    (crop,) = coarse.crops
    picture = cut(slopes, (SIZE, SIZE), crop, SPEC.window_px)
    assert max(picture.pixels.shape[:2]) == SPEC.window_px
    inner = Rect(crop.y + 20, crop.x + 20, crop.height - 40, crop.width - 40)
    enlarged = picture.over(inner).astype(int)
    assert np.abs(enlarged - slopes[inner.rows.slice, inner.columns.slice]).max() <= 2
    hole = hole_over(coarse.masked, coarse.cell_px, picture)
    rows, columns = picture.rows.positions(LARGE.rows).round(), picture.columns.positions(LARGE.columns).round()
    assert hole[np.ix_(rows.astype(int), columns.astype(int))].all(), "nothing masked is filled from"
    assert 0.1 < hole.mean() < 0.5


async def test_only_windows_with_a_share_in_a_deep_hole_are_told_anything() -> None:
    image, mask = noise(SIZE, SIZE), holes(LARGE, SMALL)
    guide, _ = await guide_of(mask, image)
    guided, plain = Fill(SPEC, StageMask(mask), guide), Fill(SPEC, StageMask(mask))
    rows = Surroundings(StageMask(mask))
    for row in GRID:
        known = rows.of(row.row.window, image[row.row.window.slice])
        for tile in row.tiles:
            source = image[tile.window.rows.slice, tile.window.columns.slice]
            told, untold = (inputs_of(job, job.view(source, tile.window, known)) for job in (guided, plain))
            assert set(told) == GUIDED
            is_told = bool(guide.over(tile.window)[:, :, 3].any())
            same = all(np.array_equal(told[name], untold[name]) for name in GUIDED)
            assert same != is_told
    bare = Fill(spec("m", Kind.INPAINT, inputs=frozenset({"image", "mask"})), StageMask(mask), guide)
    window = Rect(96, 96, 64, 64)
    assert set(inputs_of(bare, bare.view(image[96:160, 96:160], window))) == {"image", "mask"}


def test_the_reference_is_known_beyond_the_window_and_looks_like_the_guide() -> None:
    image = np.zeros((64, SIZE, 3), np.uint8)
    image[:, :100], image[:, 240:] = (200, 40, 40), (40, 40, 200)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:, 100:240] = 255
    known = Surroundings(StageMask(Mask.from_array(mask))).of(Span(0, 64), image)
    for colour, place in (((200, 40, 40), slice(0, 100)), ((40, 40, 200), slice(240, SIZE))):
        guide = np.full((64, 64, 4), (*colour, 255), np.uint8)
        reference = known.reference(Rect(0, 130, 64, 64), guide)
        valid = reference[:, :, 3] > 0
        assert valid.any()
        assert (reference[valid][:, :3] == colour).all(), place
        assert not reference[~valid].any()


def test_a_hole_as_wide_as_the_image_refers_to_the_rows_above_it() -> None:
    image, mask = noise(SIZE, SIZE), np.zeros((SIZE, SIZE), np.uint8)
    mask[100:] = 255
    rows = Surroundings(StageMask(Mask.from_array(mask)))
    above = rows.of(Span(0, 64), image[:64])
    assert rows.of(Span(200, 264), image[200:264]) is above
    guide: Any = np.full((64, 64, 4), 255, np.uint8)
    assert above.reference(Rect(200, 0, 64, 64), guide)[:, :, 3].any()


def test_a_settled_fill_has_its_slow_part_from_all_guesses_and_its_detail_from_the_first() -> None:
    y, x = np.mgrid[:64, :64]
    hole = np.zeros((64, 64), bool)
    hole[10:54, 10:54] = True
    checked = np.where((y + x) % 2, 20, -20)[:, :, None]
    finest = np.where(hole[:, :, None], 160 + checked, 100).repeat(3, axis=2).astype(np.uint8)
    other = np.where(hole[:, :, None], np.uint8(120), np.full((64, 64, 3), 100, np.uint8))
    settled = settle([finest, other[::2, ::2]], hole)
    np.testing.assert_array_equal(settled[~hole], finest[~hole])
    deep = settled[28:36, 28:36].astype(float)
    # Half of what the guesses differ by, and a fifth of the way on to the membrane, which is 100 here.
    assert abs(deep.mean() - 132) < 3
    assert abs(deep.std() - 20) < 2
    assert abs(settled[10, 28:36].astype(float).mean() - 160) < 12, "the edge stays"


def test_a_hole_that_leaves_nothing_to_know_stays_as_it_was_guessed() -> None:
    guesses = [noise(32, 32), noise(16, 16)]
    for hole in (np.ones((32, 32), bool), np.zeros((32, 32), bool)):
        np.testing.assert_array_equal(settle(guesses, hole), guesses[0])


async def test_what_is_masked_in_another_region_is_not_filled_from() -> None:
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    for rect in (LARGE, SMALL):
        image[rect.rows.slice, rect.columns.slice] = 255
    guide, _ = await guide_of(holes(LARGE, SMALL), image)
    inner = guide.over(LARGE)[:, :, :3]
    assert np.abs(inner.astype(int) - 90).max() <= 1
