"""The plan: a table of what options and findings make of a region, the gate of the upscalers, and what is not served."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from retouch_server.errors import BadField, ModelNotServed, UpscalerNotAllowed
from retouch_server.geometry import Rect
from retouch_server.imaging.mask import Mask
from retouch_server.models.catalogue import Catalogue
from retouch_server.models.fake import FakeBackend
from retouch_server.models.spec import Kind
from retouch_server.pipeline.findings import Findings, RegionFinding, unjudged
from retouch_server.pipeline.plan import Plan, Route, make_plan, route
from retouch_server.pipeline.policy import BUILT_IN, Policy, parse_policy
from retouch_server.pipeline.regions import find_regions
from retouch_server.pipeline.request import (
    MAX_PIXELS,
    MAX_PROMPT,
    MAX_SIDE_PX,
    Criticality,
    EditRequest,
    Inpaint,
    Options,
    StageName,
    TextRemoval,
    check_size,
)
from tests.support.models import Models, fake_models, spec

TEXT, PLAIN = 0.9, 0.1
AUTO, ALWAYS, NEVER = TextRemoval.AUTO, TextRemoval.ALWAYS, TextRemoval.NEVER
SKIP, REMOVE, FILL, BOTH = Route.SKIP, Route.TEXT_REMOVAL, Route.INPAINT, Route.TEXT_REMOVAL_THEN_INPAINT

ROUTES = [
    # text removal, inpaint, a region of text, a region without
    (AUTO, Inpaint.AUTO, REMOVE, FILL),
    (AUTO, Inpaint.CLASSICAL, BOTH, FILL),
    (AUTO, Inpaint.PATCH, BOTH, FILL),
    (AUTO, Inpaint.DIFFUSION, BOTH, FILL),
    (AUTO, Inpaint.NONE, REMOVE, SKIP),
    (ALWAYS, Inpaint.AUTO, REMOVE, BOTH),
    (ALWAYS, Inpaint.CLASSICAL, BOTH, BOTH),
    (ALWAYS, Inpaint.NONE, REMOVE, REMOVE),
    (NEVER, Inpaint.AUTO, FILL, FILL),
    (NEVER, Inpaint.CLASSICAL, FILL, FILL),
    (NEVER, Inpaint.NONE, SKIP, SKIP),
]


@pytest.mark.parametrize(("text_removal", "inpaint", "with_text", "without"), ROUTES)
def test_routes(text_removal: TextRemoval, inpaint: Inpaint, with_text: Route, without: Route) -> None:
    options = Options(text_removal=text_removal, inpaint=inpaint)
    for score, wanted in ((TEXT, with_text), (PLAIN, without)):
        assert route(RegionFinding(Rect(0, 0, 1, 1), 1, score, 1.0), options) is wanted


def test_a_region_that_nobody_looked_at_is_treated_as_text_and_filled() -> None:
    region = RegionFinding(Rect(0, 0, 1, 1), 1, 1.0, 1.0, is_judged=False)
    assert route(region, Options()) is BOTH


def two_regions(text: tuple[float, ...] = (PLAIN, TEXT)) -> tuple[Mask, Findings]:
    """A mask with a large region at the top left and a small one at the bottom right of 300 × 300 px."""
    pixels = np.zeros((300, 300), np.uint8)
    pixels[10:40, 10:40] = 255
    pixels[280:290, 280:290] = 255
    mask = Mask.from_array(pixels)
    judged = unjudged(find_regions(mask))
    found = tuple(replace(region, text_score=score, is_judged=True) for region, score in zip(judged.found, text, strict=True))
    return mask, replace(judged, found=found, judged=True)


async def plan(
    mask: Mask | None = None,
    findings: Findings | None = None,
    models: Models | None = None,
    policy: Policy = BUILT_IN,
    **options: object,
) -> Plan:
    catalogue = Catalogue(FakeBackend(fake_models() if models is None else models))
    await catalogue.refresh()
    request = EditRequest(300, 300, 3, mask, options=Options(**options))  # type: ignore[arg-type]
    return make_plan(request, findings or Findings(), catalogue, policy)


async def test_text_removal_is_priced_by_the_text_that_was_found() -> None:
    mask, findings = two_regions((TEXT, TEXT))
    assert findings.regions is not None
    (unseen,) = [s for s in (await plan(mask, findings)).stages if s.name == StageName.TEXT_REMOVAL]
    half = replace(findings, text=np.full(findings.regions.labels.shape, 0.5))
    (seen,) = [s for s in (await plan(mask, half)).stages if s.name == StageName.TEXT_REMOVAL]
    assert seen.hole.area_px == pytest.approx(unseen.hole.area_px / 2)
    assert seen.to_run == unseen.to_run


async def test_only_tiles_that_the_mask_touches_are_run() -> None:
    mask, findings = two_regions()
    made = await plan(mask, findings)
    removal, fill = made.stages
    assert (removal.name, fill.name) == (StageName.TEXT_REMOVAL, StageName.INPAINT)
    for stage, place in ((removal, Rect(280, 280, 10, 10)), (fill, Rect(10, 10, 30, 30))):
        touched = {t.index for row in stage.grid for t in row.tiles if t.reach.intersects(place)}
        assert stage.to_run == touched
        assert 0 < len(touched) < len(stage.grid)
    assert made.routes == (FILL, REMOVE)
    assert made.skipped == {StageName.UPSCALE: "scale 1"}


async def test_stages_come_in_order_and_every_other_says_why_it_is_skipped() -> None:
    mask, findings = two_regions()
    for text_removal, inpaint, scale in product(TextRemoval, (Inpaint.AUTO, Inpaint.CLASSICAL, Inpaint.NONE), (1, 2, 4)):
        made = await plan(mask, findings, text_removal=text_removal, inpaint=inpaint, scale=scale)
        names = [stage.name for stage in made.stages]
        assert names == [name for name in StageName if name in names]
        assert set(names) | set(made.skipped) == set(StageName)
        assert not set(names) & set(made.skipped)
        assert all(made.skipped.values())
        assert all(stage.reason for stage in made.stages)


async def test_without_a_mask_nothing_is_touched_unasked() -> None:
    made = await plan()
    assert made.stages == ()
    whole = await plan(text_removal=ALWAYS)
    (stage,) = whole.stages
    assert stage.name is StageName.TEXT_REMOVAL
    assert len(stage.to_run) == len(stage.grid)


async def test_an_empty_mask_skips_what_stands_on_it() -> None:
    mask = Mask.full(300, 300, 0)
    made = await plan(mask, unjudged(find_regions(mask)), text_removal=ALWAYS, inpaint=Inpaint.CLASSICAL)
    assert made.skipped[StageName.TEXT_REMOVAL] == made.skipped[StageName.INPAINT] == "the mask is empty"


@pytest.mark.parametrize(
    ("criticality", "scale", "model"),
    [
        (Criticality.LOW, 2, "upscale_creative_x2"),
        (Criticality.LOW, 4, "upscale_creative_x4"),
        (Criticality.STANDARD, 2, "upscale_conservative_x2"),
        (Criticality.COMMERCE, 4, "upscale_conservative_x4"),
    ],
)
async def test_the_criticality_chooses_the_upscaler(criticality: Criticality, scale: int, model: str) -> None:
    (stage,) = (await plan(criticality=criticality, scale=scale)).stages
    assert stage.spec.name == model


async def test_without_a_creative_upscaler_low_gets_the_conservative_one() -> None:
    models = fake_models("upscale_creative_x2")
    (stage,) = (await plan(models=models, criticality=Criticality.LOW, scale=2)).stages
    assert stage.spec.name == "upscale_conservative_x2"


@pytest.mark.parametrize("scale", [2, 4])
async def test_goods_never_get_a_creative_upscaler(scale: int) -> None:
    name = f"upscale_creative_x{scale}"
    with pytest.raises(UpscalerNotAllowed) as caught:
        await plan(criticality=Criticality.COMMERCE, scale=scale, upscaler=name)
    assert caught.value.metadata() == {"upscaler": name, "criticality": "commerce"}
    for criticality in (Criticality.LOW, Criticality.STANDARD):
        (stage,) = (await plan(criticality=criticality, scale=scale, upscaler=name)).stages
        assert stage.spec.name == name
    without = {name: model for name, model in fake_models().items() if model[0].kind is not Kind.UPSCALE}
    with pytest.raises(ModelNotServed, match="none"):
        await plan(models=without, criticality=Criticality.COMMERCE, scale=scale)


async def test_who_takes_over_is_a_conservative_upscaler_that_takes_such_windows() -> None:
    fixed = spec("tiny", Kind.UPSCALE, "conservative", scale=2, window_px=32, multiple_px=32, preference=1)
    models = fake_models(tiny=(fixed, fake_models()["identity"][1]))
    (stage,) = (await plan(models=models, scale=2, upscaler="upscale_creative_x2")).stages
    assert stage.fallback is not None
    assert (stage.fallback.name, stage.fallback.least_db) == ("upscale_conservative_x2", 30)
    del models["upscale_conservative_x2"]
    (stage,) = (await plan(models=models, scale=2, upscaler="upscale_creative_x2")).stages
    assert stage.fallback is not None
    assert (stage.fallback.name, stage.fallback.spec) == ("bicubic", None)


@pytest.mark.parametrize("asked", [{"scale": 2}, {"scale": 1, "upscaler": "identity"}])
async def test_nobody_takes_over_from_a_conservative_upscaler_nor_where_nothing_is_enlarged(asked: dict[str, object]) -> None:
    planned = await plan(**asked)  # type: ignore[arg-type]
    assert planned.stages[0].fallback is None
    assert planned.gate is not None
    assert planned.gate.asked == asked.get("upscaler", "")


async def test_goods_do_not_get_a_creative_upscaler_for_want_of_another() -> None:
    models = fake_models("upscale_conservative_x2")
    with pytest.raises(ModelNotServed, match="conservative"):
        await plan(models=models, criticality=Criticality.COMMERCE, scale=2)


async def test_an_upscaler_of_another_scale_is_a_bad_field() -> None:
    with pytest.raises(BadField, match="×2") as caught:
        await plan(scale=4, upscaler="upscale_conservative_x2")
    assert caught.value.field == "options.upscaler"


@pytest.mark.parametrize("name", ["nonesuch", "text_removal", "precheck"])
async def test_an_upscaler_that_is_not_served_names_those_that_are(name: str) -> None:
    with pytest.raises(ModelNotServed) as caught:
        await plan(scale=2, upscaler=name)
    assert set(caught.value.served) == {n for n, (s, _) in fake_models().items() if s.kind is Kind.UPSCALE}
    assert name in str(caught.value)


async def test_a_model_that_is_not_ready_is_not_served() -> None:
    models = fake_models()
    unready, function = models["upscale_conservative_x2"]
    models["upscale_conservative_x2"] = (replace(unready, is_ready=False), function)
    with pytest.raises(ModelNotServed) as caught:
        await plan(models=models, scale=2)
    assert "upscale_conservative_x2" not in caught.value.served


@pytest.mark.parametrize("method", [Inpaint.PATCH, Inpaint.DIFFUSION])
@pytest.mark.parametrize("masked", [True, False])
async def test_a_method_asked_for_by_name_must_be_served(method: Inpaint, masked: bool) -> None:
    mask, findings = two_regions() if masked else (None, None)
    with pytest.raises(ModelNotServed, match=method) as caught:
        await plan(mask, findings, inpaint=method)
    assert caught.value.served == ["inpaint_classical"]


async def test_auto_takes_the_best_inpainting_served() -> None:
    mask, findings = two_regions()
    patch = (spec("inpaint_patch", Kind.INPAINT, "patch"), fake_models()["identity"][1])
    for models, name in ((fake_models(), "inpaint_classical"), (fake_models(inpaint_patch=patch), "inpaint_patch")):
        made = await plan(mask, findings, models, text_removal=NEVER)
        assert made.stages[0].spec.name == name


async def test_text_removal_that_is_needed_must_be_served() -> None:
    mask, findings = two_regions()
    with pytest.raises(ModelNotServed):
        await plan(mask, findings, fake_models("text_removal"))
    mask, findings = two_regions((PLAIN, PLAIN))
    assert len((await plan(mask, findings, fake_models("text_removal"))).stages) == 1


async def test_warnings() -> None:
    mask, findings = two_regions()
    assert (await plan(mask, findings)).warnings == ()
    (warning,) = (await plan(mask, findings, prompt="a red door")).warnings
    assert "prompt" in warning
    listener = (spec("inpaint_classical", Kind.INPAINT, "classical", takes_prompt=True), fake_models()["identity"][1])
    assert (await plan(mask, findings, fake_models(inpaint_classical=listener), prompt="a red door")).warnings == ()
    (warning,) = (await plan(mask, replace(findings, judged=False))).warnings
    assert "proxy" in warning


@pytest.mark.parametrize("scale", [-1, 0, 3, 5, 8])
def test_other_scales_are_refused(scale: int) -> None:
    with pytest.raises(BadField) as caught:
        Options(scale=scale)
    assert caught.value.field == "options.scale"


def test_a_long_prompt_is_refused() -> None:
    Options(prompt="é" * MAX_PROMPT)
    with pytest.raises(BadField) as caught:
        Options(prompt="x" * (MAX_PROMPT + 1))
    assert caught.value.field == "options.prompt"


@pytest.mark.parametrize(
    ("height", "width", "field"),
    [
        (0, 1, "size.height"),
        (1, 0, "size.width"),
        (MAX_SIDE_PX + 1, 1, "size.height"),
        (1, MAX_SIDE_PX + 1, "size.width"),
        (100_000, 100_000, "size.height"),
        (MAX_SIDE_PX, MAX_SIDE_PX, "size"),
    ],
)
def test_sizes_out_of_range_are_refused(height: int, width: int, field: str) -> None:
    with pytest.raises(BadField) as caught:
        check_size(height, width)
    assert caught.value.field == field


def test_the_largest_sizes_are_taken() -> None:
    check_size(1, 1)
    check_size(MAX_SIDE_PX, 1)
    check_size(1, MAX_SIDE_PX)
    check_size(MAX_PIXELS // 50_000, 50_000)


async def test_a_hole_larger_than_a_window_is_warned_of() -> None:
    mask = Mask.full(300, 300)
    findings = Findings(find_regions(mask), (RegionFinding(Rect(0, 0, 300, 300), 90_000, 0.0, 0.0),))
    made = await plan(mask, findings)
    assert any("wholly within a hole" in warning for warning in made.warnings)
    small, found = two_regions()
    assert not any("wholly within a hole" in warning for warning in (await plan(small, found)).warnings)


async def test_a_policy_moves_the_defaults_and_closes_gates() -> None:
    asked = {"scale": 2, "policy": parse_policy(b'[upscale.standard]\ndefault = ["creative"]')}
    assert (await plan(**asked)).stages[-1].spec.method == "creative"  # type: ignore[arg-type]
    closed = parse_policy(b'[upscale.standard]\nallowed = ["conservative"]')
    with pytest.raises(UpscalerNotAllowed):
        await plan(scale=2, upscaler="upscale_creative_x2", policy=closed)
