"""Fills at proxy resolution: which regions get them, what they cost, and what they leave alone."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retouch.v1 import plan_pb2
from retouch_server.errors import BadField
from retouch_server.geometry import Rect, Span
from retouch_server.imaging.edge import EDGE_PX
from retouch_server.imaging.grain import BLOCK_PX, grown, sample
from retouch_server.imaging.mask import Mask
from retouch_server.models.backend import Array
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.fake import FakeBackend
from retouch_server.pipeline.estimate import work_of
from retouch_server.pipeline.findings import Findings, RegionFinding, unjudged
from retouch_server.pipeline.guide import Guide, cut
from retouch_server.pipeline.plan import Plan, Route, make_plan, route
from retouch_server.pipeline.policy import Limits
from retouch_server.pipeline.proxied import find_proxied
from retouch_server.pipeline.reference import KnownRows
from retouch_server.pipeline.regions import StageMask, find_regions
from retouch_server.pipeline.request import EditRequest, Inpaint, Options, StageName, TextRemoval
from retouch_server.pipeline.stages.spread import PIECE_PX, Spread
from tests.support.models import WINDOW_PX, Models, fake_models, spec
from tests.support.service import serve
from tests.support.wire import Image, edit_of, noise, say

SIZE = 300
SMOOTH, FINE = 0.1, 0.9
TEXTURED, PLAIN = Rect(20, 20, 40, 40), Rect(200, 210, 30, 24)


def mask_of(*rects: Rect) -> Image:
    pixels = np.zeros((SIZE, SIZE), np.uint8)
    for rect in rects:
        pixels[rect.rows.slice, rect.columns.slice] = 255
    return pixels


def judged(mask: Mask, *texture: float) -> Findings:
    """Regions without text, in the order of their size."""
    bare = unjudged(find_regions(mask))
    found = [replace(r, text_score=0.0, texture_score=t, is_judged=True) for r, t in zip(bare.found, texture, strict=True)]
    return replace(bare, found=tuple(found), judged=True, ratio=2.0)


async def plan(mask: Mask, findings: Findings, **options: object) -> Plan:
    catalogue = Catalogue(FakeBackend(fake_models()))
    await catalogue.refresh()
    return make_plan(EditRequest(SIZE, SIZE, 3, mask, options=Options(**options)), findings, catalogue)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("inpaint", "texture", "text", "prompt", "wanted"),
    [
        (Inpaint.AUTO, SMOOTH, 0.0, "", Route.INPAINT_PROXY),
        (Inpaint.AUTO, FINE, 0.0, "", Route.INPAINT),
        (Inpaint.AUTO, SMOOTH, 0.0, "a boat", Route.INPAINT),
        (Inpaint.AUTO, SMOOTH, 0.9, "", Route.INPAINT),
        (Inpaint.CLASSICAL, SMOOTH, 0.0, "", Route.INPAINT),
        (Inpaint.PROXY, FINE, 0.0, "", Route.INPAINT_PROXY),
        (Inpaint.NONE, SMOOTH, 0.0, "", Route.SKIP),
    ],
)
def test_routes(inpaint: Inpaint, texture: float, text: float, prompt: str, wanted: Route) -> None:
    options = Options(text_removal=TextRemoval.NEVER, inpaint=inpaint, prompt=prompt)
    assert route(RegionFinding(Rect(0, 0, 1, 1), 1, text, texture), options) is wanted


@pytest.mark.parametrize("score", [0.0, 0.79, 0.8, 1.0])
def test_the_policy_says_how_fine_is_too_fine(score: float) -> None:
    region = RegionFinding(Rect(0, 0, 1, 1), 1, 0.0, score)
    assert region.is_fine == (score >= 0.8)
    assert replace(region, limits=Limits(fine_texture=0.0)).is_fine, "0: every region is filled at full resolution"


async def test_windows_with_nothing_else_to_fill_call_no_model_and_cost_less() -> None:
    mask = Mask.from_array(mask_of(TEXTURED, PLAIN))
    (stage,) = (await plan(mask, judged(mask, FINE, SMOOTH))).stages
    assert stage.name == StageName.INPAINT
    assert stage.to_spread == {t.index for row in stage.grid for t in row.tiles if t.reach.intersects(PLAIN)}
    assert stage.to_spread < stage.to_run
    assert "at proxy resolution" in stage.reason
    (full,) = (await plan(mask, judged(mask, FINE, FINE))).stages
    assert full.to_run == stage.to_run
    assert full.proxied is None
    assert work_of(stage).extra < work_of(full).extra
    assert work_of(stage).light == len(stage.to_spread)


async def test_a_fill_at_proxy_resolution_needs_a_proxy() -> None:
    mask = Mask.from_array(mask_of(PLAIN))
    with pytest.raises(BadField, match="needs a proxy"):
        await plan(mask, unjudged(find_regions(mask)), inpaint=Inpaint.PROXY)


def test_crops_show_what_is_around_their_regions_and_join_where_that_costs_nothing() -> None:
    near, far = Rect(200, 240, 16, 16), Rect(8, 8, 12, 12)
    mask = Mask.from_array(mask_of(PLAIN, near, far))
    regions = find_regions(mask)
    proxied = find_proxied(mask, regions, range(1, len(regions) + 1), WINDOW_PX * 4, 1.0)
    assert len(proxied.coarse.crops) == 2
    for bounds in regions.bounds:
        assert any(crop.contains(bounds) for crop in proxied.coarse.crops)
    assert not proxied.blind
    assert proxied.hole.area_px < proxied.crop_px


def blur(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """A model: the hole gets the mean of what is known."""
    hole = inputs["mask"][:, :, 0] > 0
    filled = inputs["image"].copy()
    filled[hole] = filled[~hole].mean(axis=0).round()
    return {"result": filled}


def models(texture: float) -> Models:
    by_texture = (spec("precheck", fake_models()["precheck"][0].kind), lambda _: {"scores": np.array([0, texture], np.float32)})
    return fake_models(precheck=by_texture, inpaint_classical=(fake_models()["inpaint_classical"][0], blur))


def wall(channels: int = 3) -> Image:
    """A gentle slope with grain."""
    rng = np.random.default_rng(0)
    slope = 100 + np.linspace(0, 30, SIZE)[:, None, None] + np.zeros((1, SIZE, channels))
    return np.clip(np.rint(slope + rng.normal(0, 3, (SIZE, SIZE, channels))), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4])
async def test_an_edit_fills_a_smooth_region_once_and_touches_nothing_else(tmp_path: Path, channels: int) -> None:
    image, mask = wall(channels), mask_of(PLAIN)
    async with serve(tmp_path, models(SMOOTH)) as service:
        outcome = await say(service.edits, edit_of(image, mask=mask))
        again = await say(service.edits, edit_of(image, mask=mask))
        assert service.backend.calls.count("inpaint_classical") == 1, "one call, whose result is kept, for all windows"
        assert service.value("precheck_regions_total", route="inpaint_proxy") == 2
    result = outcome.image()
    assert np.array_equal(result, again.image()), "the same request gives the same bytes"
    assert np.array_equal(result[mask == 0], image[mask == 0])
    inside = result[PLAIN.rows.slice, PLAIN.columns.slice][:, :, : min(channels, 3)].astype(np.float32)
    assert abs(inside.mean() - image[:, :, 0][PLAIN.rows.slice, PLAIN.columns.slice].mean()) < 6
    assert 1.5 < inside[4:-4, 4:-4].std(axis=1).mean() < 5, "the grain of the wall"
    if channels == 4:
        assert np.array_equal(result[:, :, 3], image[:, :, 3])


def by_place() -> Models:
    """Models to whom the upper half of a picture is fine texture, and the lower one smooth."""

    def scores(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        mask = inputs["mask"]
        return {"scores": np.array([0, FINE if mask[: len(mask) // 2].any() else SMOOTH], np.float32)}

    return models(SMOOTH) | {"precheck": (spec("precheck", fake_models()["precheck"][0].kind), scores)}


async def test_windows_without_a_share_do_not_wait_for_the_fill_at_proxy_resolution(tmp_path: Path) -> None:
    image = wall()
    async with serve(tmp_path, by_place()) as service:
        service.gate.close("inpaint_classical")
        edit = asyncio.create_task(say(service.edits, edit_of(image, mask=mask_of(TEXTURED, PLAIN))))
        await service.gate.reached(2)
        service.gate.open()
        result = (await edit).image()
    assert np.array_equal(result[mask_of(TEXTURED, PLAIN) == 0], image[mask_of(TEXTURED, PLAIN) == 0])
    assert not np.array_equal(result[PLAIN.rows.slice, PLAIN.columns.slice], image[PLAIN.rows.slice, PLAIN.columns.slice])


async def test_fine_texture_is_filled_at_full_resolution_beside_it(tmp_path: Path) -> None:
    image = wall()
    image[:150] = noise(150, SIZE, seed=3)
    async with serve(tmp_path, by_place()) as service:
        outcome = await say(service.edits, edit_of(image, mask=mask_of(TEXTURED, PLAIN)))
        routes = [region.route for region in outcome.accepted.findings.regions]
        (stage,) = outcome.done.stages
        assert routes == [plan_pb2.ROUTE_INPAINT, plan_pb2.ROUTE_INPAINT_PROXY]
        assert 1 < service.backend.calls.count("inpaint_classical") < stage.tiles_run + 1
    assert np.array_equal(outcome.image()[mask_of(TEXTURED, PLAIN) == 0], image[mask_of(TEXTURED, PLAIN) == 0])


def test_grain_is_like_its_sample_and_a_function_of_seed_and_place() -> None:
    rng = np.random.default_rng(1)
    noisy = cv2.GaussianBlur(rng.normal(0, 8, (160, 160, 3)).astype(np.float32), (0, 0), 0.7) + 128
    known = np.ones((160, 160), np.bool_)
    known[60:100, 60:100] = False
    block = sample(np.rint(noisy).astype(np.uint8), known, 2.0)
    assert block is not None
    assert block.shape == (BLOCK_PX, BLOCK_PX, 3)
    made = grown(block, Rect(0, 0, 120, 130), seed=5)
    assert made.std() == pytest.approx(block.std(), rel=0.15)
    part = grown(block, Rect(30, 41, 50, 60), seed=5)
    assert np.allclose(part, made[30:80, 41:101], atol=1e-4), "two windows have the same where they overlap"
    assert not np.allclose(part, grown(block, Rect(30, 41, 50, 60), seed=6))


def test_a_clean_picture_has_no_grain_and_an_unknown_one_none_to_tell() -> None:
    clean, known = np.full((96, 96, 3), 90, np.uint8), np.ones((96, 96), np.bool_)
    known[40:56, 40:56] = False
    assert sample(clean, known, 2.0) is None
    assert sample(noise(96, 96), np.zeros((96, 96), np.bool_), 2.0) is None
    assert sample(noise(9, 9), np.ones((9, 9), np.bool_), 2.0) is None


def test_of_a_calm_and_a_busy_part_the_calm_one_is_the_grain() -> None:
    picture, known = noise(160, 160), np.ones((160, 160), np.bool_)
    picture[:, :80] = np.random.default_rng(0).normal(100, 2, (160, 80, 3)).round().astype(np.uint8)
    known[64:96, 64:96] = False
    block = sample(picture, known, 2.0)
    assert block is not None
    assert block.std() < 4


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_mask_falls_into_parts_that_do_not_see_each_other(seed: int) -> None:
    draw = np.random.default_rng(seed)
    pixels = mask_of(
        *(Rect(*(int(v) for v in draw.integers((0, 0, 1, 1), (280, 280, 20, 20)))) for _ in range(draw.integers(1, 9)))
    )
    mask = Mask.from_array(pixels)
    regions = find_regions(mask)
    chosen = [label for label in range(1, len(regions) + 1) if label == 1 or draw.random() < 0.6]
    proxied = find_proxied(mask, regions, chosen, WINDOW_PX * 4, 2.0)
    whole, left = Rect(0, 0, SIZE, SIZE), StageMask(mask, regions, chosen).window(Rect(0, 0, SIZE, SIZE))
    assert sorted(proxied.parts_in(Span(0, SIZE))) == list(range(1, len(proxied.parts) + 1))
    for number, bounds in enumerate(proxied.parts, 1):
        part = proxied.part(number, whole)
        assert part.any()
        assert np.array_equal(part[part > 0], left[part > 0]), "as it was, and nobody else's"
        assert np.count_nonzero(proxied.part(number, bounds)) == np.count_nonzero(part)
        left[part > 0] = 0
        near = cv2.dilate(part, np.ones((2 * EDGE_PX + 1,) * 2, np.uint8)) > 0
        assert not left[near].any()
    assert not left.any()


def test_what_is_wide_is_spread_in_pieces_that_do_not_show() -> None:
    height, width = 96, 2 * PIECE_PX + 300
    rng = np.random.default_rng(4)
    slope = 90 + np.linspace(0, 60, width)[None, :, None] + np.zeros((height, 1, 3))
    image = np.clip(np.rint(slope + rng.normal(0, 1.5, (height, width, 3))), 0, 255).astype(np.uint8)
    pixels = np.zeros((height, width), np.uint8)
    pixels[40:56, 30 : width - 30] = 255
    mask = Mask.from_array(pixels)
    proxied = find_proxied(mask, find_regions(mask), [1], 512, 2.0)
    small = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    crops = tuple(cut(small, (height, width), crop, 10**6) for crop in proxied.coarse.crops)
    spread = Spread(proxied, Guide(proxied.coarse, crops), seed=3)
    out, rows = image.copy(), Span(0, height)
    spread.over(1, KnownRows(rows, image, pixels == 0), rows, image, out)
    assert np.array_equal(out[pixels == 0], image[pixels == 0])
    assert not np.array_equal(out, image)
    columns = out[44:52].astype(np.float64).mean(axis=(0, 2))[30:-30]
    smooth = np.convolve(columns, np.ones(33) / 33, "valid")
    assert np.abs(np.diff(smooth)).max() < 0.25, "no step in tone where pieces meet"
