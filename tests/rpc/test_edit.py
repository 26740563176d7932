"""What comes out: every combination of stages, any cut of tiles, any order in which the models answer."""

import asyncio
from collections.abc import Mapping
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retouch.v1 import image_pb2, options_pb2
from retouch_server.imaging.codec import encode_png
from retouch_server.imaging.png import decode_whole
from retouch_server.models.backend import Array
from retouch_server.models.spec import Kind
from tests.support.models import HALO_PX, WINDOW_PX, expected, fake_models, spec
from tests.support.service import Service, serve
from tests.support.wire import Image, digest_of, edit_of, noise, opened, say, soft_disc, strips, tile

ALWAYS, NEVER = options_pb2.TEXT_REMOVAL_ALWAYS, options_pb2.TEXT_REMOVAL_NEVER
CLASSICAL, NONE = options_pb2.INPAINT_CLASSICAL, options_pb2.INPAINT_NONE


def options_of(text: bool, inpaint: bool, scale: int) -> dict[str, Any]:
    return {"text_removal": ALWAYS if text else NEVER, "inpaint": CLASSICAL if inpaint else NONE, "scale": scale}


@pytest.mark.parametrize(("text", "inpaint", "scale"), list(product([False, True], [False, True], [1, 2, 4])))
async def test_every_combination_of_stages(service: Service, text: bool, inpaint: bool, scale: int) -> None:
    image, mask = noise(150, 130), soft_disc(150, 130, seed=1)
    outcome = await say(service.edits, edit_of(image, mask=mask, **options_of(text, inpaint, scale)))
    result = outcome.image()
    assert np.array_equal(result, expected(image, mask, text=text, inpaint=inpaint, scale=scale))
    wanted = ["text_removal"] * text + ["inpaint_classical"] * inpaint + [f"upscale_conservative_x{scale}"] * (scale > 1)
    assert [stage.model.name for stage in outcome.done.stages] == wanted
    order = [model for model in dict.fromkeys(service.backend.calls) if model in wanted]
    assert order == wanted, "stages start in their order"
    planned = {stage.stage: stage for stage in outcome.accepted.plan.stages}
    assert sorted(planned) == [1, 2, 3]
    assert [stage.stage for stage in outcome.accepted.plan.stages if not stage.skipped_because] == [
        stage.stage for stage in outcome.done.stages
    ]
    for stage in outcome.done.stages:
        assert stage.tiles_run == planned[stage.stage].tiles_to_run == service.backend.calls.count(stage.model.name)
        assert stage.tiles_run + stage.tiles_skipped == planned[stage.stage].tiles_total
    assert outcome.done.mask_digest == outcome.accepted.mask_digest == digest_of(mask)


@pytest.mark.parametrize("channels", [1, 3, 4])
async def test_outside_the_mask_every_byte_is_the_inputs(service: Service, channels: int) -> None:
    image, mask = noise(200, 170, channels, seed=2), soft_disc(200, 170, seed=5)
    assert set(np.unique(mask)) > {0, 255}, "soft"
    result = (await say(service.edits, edit_of(image, mask=mask, **options_of(True, True, 1)))).image()
    assert np.array_equal(result[mask == 0], image[mask == 0])
    assert not np.array_equal(result, image)
    if channels == 4:
        assert np.array_equal(result[:, :, 3], image[:, :, 3])


@pytest.mark.parametrize("channels", [1, 4])
async def test_gray_and_alpha_are_edited_as_rgb_is(service: Service, channels: int) -> None:
    image, mask = noise(90, 70, channels), np.full((90, 70), 255, np.uint8)
    result = (await say(service.edits, edit_of(image, mask=mask, **options_of(True, True, 1)))).image()
    assert np.array_equal(result, expected(image, mask, text=True, inpaint=True, scale=1))


@pytest.mark.parametrize("scale", [2, 4])
async def test_a_constant_alpha_stays_constant(service: Service, scale: int) -> None:
    image = noise(70, 100, 4)
    image[:, :, 3] = 201
    result = (await say(service.edits, edit_of(image, scale=scale))).image()
    assert (result[:, :, 3] == 201).all()
    assert np.array_equal(result[:, :, :3], expected(image[:, :, :3], None, text=False, inpaint=False, scale=scale))


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (63, 64), (64, 65), (129, 57), (333, 2)])
@pytest.mark.parametrize("scale", [1, 4])
async def test_odd_sizes(service: Service, size: tuple[int, int], scale: int) -> None:
    image = noise(*size)
    upscaler = "identity" if scale == 1 else "upscale_creative_x4"
    result = (await say(service.edits, edit_of(image, scale=scale, upscaler=upscaler))).image()
    assert np.array_equal(result, expected(image, None, text=False, inpaint=False, scale=scale))


async def test_an_edit_without_work_passes_the_image_on(service: Service) -> None:
    image = noise(300, 200)
    outcome = await say(service.edits, edit_of(image))
    assert np.array_equal(outcome.image(), image)
    assert service.backend.calls == []
    assert [stage.skipped_because for stage in outcome.accepted.plan.stages] != ["", "", ""]


@pytest.mark.parametrize("seed", range(4))
async def test_the_order_in_which_models_answer_changes_nothing(service: Service, seed: int) -> None:
    """Each call is held for a random number of turns of the loop."""
    draw, image, mask = np.random.default_rng(seed), noise(260, 300), soft_disc(260, 300, seed=7)
    finished: list[int] = []

    async def hold(call: Any) -> None:
        number = len(service.backend.calls)
        for _ in range(int(draw.integers(0, 60))):
            await asyncio.sleep(0)
        finished.append(number)

    service.backend._gate = hold  # type: ignore[assignment]
    result = (await say(service.edits, edit_of(image, mask=mask, **options_of(True, True, 2)))).image()
    service.backend._gate = None
    assert finished != sorted(finished), "answers were out of order"
    assert np.array_equal(result, expected(image, mask, text=True, inpaint=True, scale=2))


def random_cut(image: Image, seed: int) -> list[Any]:
    """Rows of tiles of random height, each cut into random columns, shuffled within the row."""
    draw, height, width, tiles, y = np.random.default_rng(seed), *image.shape[:2], list[Any](), 0
    while y < height:
        rows = min(int(draw.integers(1, 90)), height - y)
        cuts = sorted({0, width, *draw.integers(1, width, 4).tolist()})
        row = [tile(image, y, a, rows, b - a) for a, b in pairwise(cuts)]
        draw.shuffle(row)
        tiles += row
        y += rows
    return tiles


@pytest.mark.parametrize("seed", range(5))
async def test_the_cut_of_the_upload_changes_nothing(service: Service, seed: int) -> None:
    image, mask = noise(230, 190, seed=3), soft_disc(230, 190, seed=3)
    start = opened(230, 190, mask=mask, **options_of(True, False, 2))
    result = (await say(service.edits, [start, *random_cut(image, seed)])).image()
    assert np.array_equal(result, expected(image, mask, text=True, inpaint=False, scale=2))


async def test_tiles_may_come_as_png(service: Service) -> None:
    image = noise(100, 80, 4)
    messages = [opened(100, 80, 4), *random_cut(image, 0)]
    for message in messages[1:]:
        rect = message.tile.rect
        message.tile.data = encode_png(image[rect.y : rect.y + rect.height, rect.x : rect.x + rect.width])
        message.tile.encoding = image_pb2.ENCODING_PNG
    assert np.array_equal((await say(service.edits, messages)).image(), image)


@pytest.mark.parametrize("channels", [1, 3, 4])
async def test_the_result_may_come_as_png(service: Service, channels: int) -> None:
    image = noise(100, 80, channels)
    outcome = await say(service.edits, edit_of(image, output_encoding=image_pb2.ENCODING_PNG))
    parts = [r.tile for r in outcome.responses if r.WhichOneof("message") == "tile"]
    assert all(part.encoding == image_pb2.ENCODING_PNG for part in parts)
    assert np.array_equal(np.concatenate([decode_whole(part.data, "tile") for part in parts]), image)


async def test_only_windows_that_the_mask_touches_are_called(service: Service) -> None:
    image, mask = noise(600, 600), np.zeros((600, 600), np.uint8)
    mask[300:304, 300:304] = 1  # however faint
    outcome = await say(service.edits, edit_of(image, mask=mask, **options_of(False, True, 1)))
    assert np.array_equal(outcome.image(), expected(image, mask, text=False, inpaint=True, scale=1))
    (stage,) = outcome.done.stages
    assert 1 <= stage.tiles_run <= 4
    assert stage.tiles_skipped > 100
    assert service.backend.calls.count("inpaint_classical") == stage.tiles_run
    assert service.value("tiles_total", stage="inpaint", model="inpaint_classical", outcome="skipped") == stage.tiles_skipped
    assert service.value("tiles_total", stage="inpaint", model="inpaint_classical", outcome="run") == stage.tiles_run


async def test_auto_removes_text_where_there_is_text_and_fills_the_rest(service: Service) -> None:
    image, mask = noise(300, 300), np.zeros((300, 300), np.uint8)
    mask[40:60, 20:140] = mask[200:260, 200:260] = 255
    image[40:60, 20:140, 0] = 255  # a line of text to the fake detector
    outcome = await say(service.edits, edit_of(image, mask=mask))
    removed, filled = (np.zeros_like(mask) for _ in range(2))
    removed[40:60, 20:140] = filled[200:260, 200:260] = 255
    after = expected(image, removed, text=True, inpaint=False, scale=1)
    after = expected(after, filled, text=False, inpaint=True, scale=1)
    assert np.array_equal(outcome.image(), after)
    assert outcome.accepted.findings.needs_text_removal
    assert sorted(region.route for region in outcome.accepted.findings.regions) == [2, 3]
    assert outcome.done.HasField("residual_text_score")


async def test_no_more_calls_run_at_once_than_allowed(service: Service) -> None:
    image = noise(700, 700)
    await say(service.edits, edit_of(image, scale=2))
    assert service.backend.most_running <= service.app.settings.tiles_in_flight
    await say(service.edits, edit_of(image, mask=np.full((700, 700), 255, np.uint8), **options_of(True, True, 2)))
    assert service.backend.most_running <= 3 * service.app.settings.tiles_in_flight, "three stages"


async def test_all_edits_share_the_slots_there_are(tmp_path: Path) -> None:
    async with serve(tmp_path, model_slots=2) as service:
        image = noise(500, 500)
        outcomes = await asyncio.gather(*(say(service.edits, edit_of(image, scale=2)) for _ in range(3)))
        assert service.backend.most_running == 2
        assert all(np.array_equal(outcome.image(), outcomes[0].image()) for outcome in outcomes)
        await service.comes_to_rest()


async def test_the_service_needs_no_half_closed_stream_to_send_rows(service: Service) -> None:
    """Rows leave as soon as they are final: the first while the last have not even come."""
    image = noise(1000, 100)
    messages = list(strips(image, 30_000))
    call = service.edits.Edit(timeout=20)
    await call.write(opened(1000, 100, upscaler="identity"))
    for message in messages[:5]:
        await call.write(message)
    rows = 0
    async with asyncio.timeout(20):
        while rows < 500 - 2 * WINDOW_PX - HALO_PX:
            response = await call.read()
            rows += response.tile.rect.height
    for message in messages[5:]:
        await call.write(message)
    await call.done_writing()
    async with asyncio.timeout(20):
        while (response := await call.read()).WhichOneof("message") != "done":
            rows += response.tile.rect.height
    assert rows == 1000
    assert (await call.code()).name == "OK"


async def test_the_same_request_gives_the_same_bytes(service: Service) -> None:
    image, mask = noise(150, 150), soft_disc(150, 150)
    first, second = [(await say(service.edits, edit_of(image, mask=mask, scale=2, seed=9))).image() for _ in range(2)]
    assert np.array_equal(first, second)


async def test_progress_grows_to_the_total(service: Service) -> None:
    outcome = await say(service.edits, edit_of(noise(400, 300), scale=2))
    reports = [r.progress for r in outcome.responses if r.WhichOneof("message") == "progress"]
    done = [report.tiles_done for report in reports]
    assert done == sorted(done)
    assert done[-1] == reports[-1].tiles_total == outcome.done.stages[0].tiles_run
    assert len(reports) <= 10, "at most one for each row of windows"


async def test_a_prompt_that_nothing_takes_is_a_warning(service: Service) -> None:
    outcome = await say(service.edits, edit_of(noise(20, 20), prompt="a red door"))
    assert any("prompt" in warning for warning in outcome.done.warnings)


async def test_a_large_image_without_a_proxy_is_treated_as_text_and_texture(service: Service) -> None:
    image, mask = noise(2001, 2000), np.zeros((2001, 2000), np.uint8)
    mask[5:10, 5:10] = 255
    outcome = await say(service.edits, edit_of(image, mask=mask))
    assert outcome.accepted.findings.needs_text_removal
    assert any("proxy" in warning for warning in outcome.done.warnings)
    assert np.array_equal(outcome.image(), expected(image, mask, text=True, inpaint=True, scale=1))


async def test_where_a_model_makes_windows_disagree_they_blend_more_widely_and_it_is_said(tmp_path: Path) -> None:
    drifts = iter(range(0, 200, 10))

    def drifting(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        # The fill's tone is the call's, not the picture's.
        return {"result": np.full_like(inputs["image"], next(drifts))}

    models = fake_models(inpaint_classical=(spec("inpaint_classical", Kind.INPAINT, "classical"), drifting))
    # No window is another's twin, whose result it could be given.
    image, mask = noise(60, 150), np.full((60, 150), 255, np.uint8)
    async with serve(tmp_path, models) as service:
        outcome = await say(service.edits, edit_of(image, mask=mask, **options_of(False, True, 1)))
        (stage,) = outcome.done.stages
        assert stage.tiles_run == 3
        assert stage.borders_widened == 2
        assert service.value("borders_widened_total", stage="inpaint", model="inpaint_classical") == 2
        # A reach of 4 px on either side would fade within 8 px, what both windows share is more.
        changing = np.flatnonzero(np.diff(outcome.image()[30, :, 0].astype(int)))
        assert len(changing) > 2 * 8
        assert outcome.done.seam_score < 1.3


async def test_windows_that_agree_never_blend_more_widely(service: Service) -> None:
    outcome = await say(service.edits, edit_of(noise(150, 130), scale=2))
    assert [stage.borders_widened for stage in outcome.done.stages] == [0]
