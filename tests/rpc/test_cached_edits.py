"""Edits that were made before, in part or whole: the same bytes, and models only where something changed."""

import asyncio
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from retouch.v1 import options_pb2, plan_pb2
from tests.support.models import Image, expected, fake_models, fill, of_image, spec
from tests.support.service import Service, serve
from tests.support.wire import Outcome, edit_of, noise, opened, say, strips

FILL = {"text_removal": options_pb2.TEXT_REMOVAL_NEVER, "inpaint": options_pb2.INPAINT_CLASSICAL}
IMAGE = noise(300, 400)
MODELS = ("inpaint_classical", "text_removal", "upscale_conservative_x2")


def masked(*spots: tuple[int, int]) -> Image:
    """Boxes of 10 px, soft at the left."""
    mask = np.zeros((300, 400), np.uint8)
    for y, x in spots:
        mask[y : y + 10, x : x + 10] = 255
        mask[y : y + 10, x] = 100
    return mask


def tiles(outcome: Outcome) -> tuple[int, int]:
    """Run and cached, of all stages."""
    stages = outcome.done.stages
    return sum(stage.tiles_run for stage in stages), sum(stage.tiles_cached for stage in stages)


def calls(service: Service) -> Counter[str]:
    """Calls of models since the last look."""
    made = Counter(service.backend.calls)
    service.backend.calls.clear()
    return made


async def test_an_edit_made_again_calls_no_model(service: Service) -> None:
    messages = edit_of(IMAGE, mask=masked((40, 50), (200, 300)), scale=2, **FILL)
    first, second = await say(service.edits, messages), await say(service.edits, messages)
    wanted = expected(IMAGE, masked((40, 50), (200, 300)), text=False, inpaint=True, scale=2)
    assert np.array_equal(first.image(), wanted)
    assert np.array_equal(second.image(), wanted)
    run, cached = tiles(first)
    assert cached == 0
    assert tiles(second) == (0, run)
    progress = [response.progress for response in second.responses if response.WhichOneof("message") == "progress"]
    assert progress[-1].tiles_done == progress[-1].tiles_total
    assert service.value("tiles_total", stage="upscale", model="upscale_conservative_x2", outcome="cached") > 0
    made = calls(service)
    assert sum(made[model] for model in MODELS) == run


async def test_a_changed_mask_costs_the_windows_that_it_touches(service: Service) -> None:
    before, after = masked((40, 50), (200, 300)), masked((40, 50), (200, 300), (100, 180))
    first = await say(service.edits, edit_of(IMAGE, mask=before, **FILL))
    calls(service)
    second = await say(service.edits, edit_of(IMAGE, mask=after, **FILL))
    assert np.array_equal(second.image(), expected(IMAGE, after, text=False, inpaint=True, scale=1))
    assert tiles(second)[1] == tiles(first)[0]
    assert 0 < tiles(second)[0] <= 4
    assert calls(service)["inpaint_classical"] == tiles(second)[0]


async def test_one_changed_pixel_costs_the_windows_that_see_it(service: Service) -> None:
    mask = masked((40, 50), (200, 300))
    await say(service.edits, edit_of(IMAGE, mask=mask, **FILL))
    touched = IMAGE.copy()
    touched[205, 305] ^= 1
    second = await say(service.edits, edit_of(touched, mask=mask, **FILL))
    assert np.array_equal(second.image(), expected(touched, mask, text=False, inpaint=True, scale=1))
    run, cached = tiles(second)
    assert 0 < run <= 4
    assert cached > 0


async def test_an_edit_whose_stream_broke_costs_what_was_not_finished(service: Service) -> None:
    mask = masked(*((y, x) for y in range(20, 280, 60) for x in range(20, 380, 60)))
    call = service.edits.Edit(timeout=30)
    await call.write(opened(300, 400, mask=mask, proxy=IMAGE, **FILL))
    for message in list(strips(IMAGE, 400 * 3 * 50))[:4]:  # 200 rows of 300, then the client is gone
        await call.write(message)
    while (response := await call.read()).WhichOneof("message") != "tile" or response.tile.rect.y < 60:
        pass
    call.cancel()
    await service.comes_to_rest()
    finished = calls(service)["inpaint_classical"]
    outcome = await say(service.edits, edit_of(IMAGE, mask=mask, **FILL))
    assert np.array_equal(outcome.image(), expected(IMAGE, mask, text=False, inpaint=True, scale=1))
    run, cached = tiles(outcome)
    assert cached > 0
    assert finished - service.app.settings.tiles_in_flight <= cached <= finished
    assert calls(service)["inpaint_classical"] == run


async def test_a_model_that_is_not_deterministic_is_asked_again(tmp_path: Path) -> None:
    dream = (spec("inpaint_classical", "inpaint", "classical", is_deterministic=False), of_image(fill))
    async with serve(tmp_path, fake_models(inpaint_classical=dream)) as service:
        messages = edit_of(IMAGE, mask=masked((40, 50)), **FILL)
        outcomes = [await say(service.edits, messages) for _ in range(2)]
        assert [tiles(outcome)[1] for outcome in outcomes] == [0, 0]


async def test_without_a_cache_everything_is_computed(tmp_path: Path) -> None:
    async with serve(tmp_path, result_cache="off") as service:
        messages = edit_of(IMAGE, mask=masked((40, 50)), **FILL)
        outcomes = [await say(service.edits, messages) for _ in range(2)]
        assert [tiles(outcome)[1] for outcome in outcomes] == [0, 0]
        assert np.array_equal(outcomes[0].image(), outcomes[1].image())


async def test_results_are_kept_within_their_budget(tmp_path: Path) -> None:
    budget = 40_000  # three windows
    async with serve(tmp_path, result_cache_bytes=budget) as service:
        messages = edit_of(IMAGE, upscaler="identity")
        for _ in range(2):
            assert np.array_equal((await say(service.edits, messages)).image(), IMAGE)
            assert 0 < service.value("result_cache_bytes") <= budget


async def test_estimates_are_not_learnt_from_what_was_known(service: Service) -> None:
    messages = edit_of(IMAGE, upscaler="identity")
    await say(service.edits, messages)
    before = (await say(service.edits, messages)).accepted.estimate
    after = (await say(service.edits, messages)).accepted.estimate
    assert before == after


@pytest.mark.parametrize("other", [{"scale": 2}, {"text_removal": options_pb2.TEXT_REMOVAL_ALWAYS}])
async def test_edits_that_share_a_stage_share_its_results(service: Service, other: dict[str, int]) -> None:
    mask = masked((40, 50), (200, 300))
    await say(service.edits, edit_of(IMAGE, mask=mask, **FILL))
    outcome = await say(service.edits, edit_of(IMAGE, mask=mask, **(FILL | other)))
    removes = "text_removal" in other
    wanted = expected(IMAGE, mask, text=removes, inpaint=True, scale=outcome.accepted.plan.output_size.height // 300)
    assert np.array_equal(outcome.image(), wanted)
    inpaint = next(stage for stage in outcome.done.stages if stage.stage == plan_pb2.STAGE_INPAINT)
    assert (inpaint.tiles_cached > 0) == (not removes)  # after text removal the windows are others


async def test_many_edits_at_once_get_their_own_results(service: Service) -> None:
    images = [noise(150, 130, seed=seed) for seed in range(4)]
    masks = [masked((20 * seed, 30)) for seed in range(4)]
    pairs = [(image, mask[:150, :130]) for image in images for mask in masks] * 2
    outcomes = await asyncio.gather(*(say(service.edits, edit_of(image, mask=mask, **FILL)) for image, mask in pairs))
    for (image, mask), outcome in zip(pairs, outcomes, strict=True):
        assert np.array_equal(outcome.image(), expected(image, mask, text=False, inpaint=True, scale=1))
