"""Fault stories. Each ends by proving that everything was given back and that the service still answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from retouch.v1 import edit_service_pb2 as pb
from retouch.v1 import image_pb2, options_pb2
from retouch.v1.edit_service_pb2_grpc import EditServiceStub
from retouch_server.errors import ModelFault, ModelUnavailable
from retouch_server.models.spec import Kind
from tests.rpc.test_sequences import check_refusal
from tests.support.models import Models, expected, fake_models, fixed_scores, nearest, of_image, spec
from tests.support.service import Service, eventually, serve
from tests.support.wire import Outcome, digest_of, edit_of, joined, noise, opened, outcome_of, say, soft_disc, strips, tile

IDENTITY = {"upscaler": "identity"}
FILL = {"text_removal": options_pb2.TEXT_REMOVAL_NEVER, "inpaint": options_pb2.INPAINT_CLASSICAL}
IMAGE = noise(300, 400)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serve(tmp_path, upload_idle_s=5.0) as service:
        yield service
        await service.still_answers()


async def accepted(call: Any) -> pb.EditResponse:
    response = await call.read()
    assert response.WhichOneof("message") == "accepted"
    return response


# -- clients --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cancels", "disconnects"])
async def test_a_client_vanishes_mid_upload(service: Service, how: str) -> None:
    channel = aio.insecure_channel(service.target)
    call = EditServiceStub(channel).Edit(timeout=30)
    await call.write(opened(300, 400, **IDENTITY))
    await accepted(call)
    await call.write(tile(IMAGE, 0, 0, 150))
    await eventually(lambda: bool(service.backend.calls))
    assert service.app.admission.in_flight == 1
    if how == "cancels":
        call.cancel()
    await channel.close()
    await service.comes_to_rest()
    assert service.value("edits_total", outcome="cancelled", code="CANCELLED", reason="CANCELLED") == 1


async def test_a_client_vanishes_before_it_is_accepted(service: Service) -> None:
    """While the precheck is at the model."""
    service.gate.close("precheck", "text_detect")
    call = service.edits.Edit(timeout=30)
    await call.write(opened(40, 30, mask=np.full((40, 30), 255, np.uint8)))
    await call.write(tile(noise(40, 30)))
    await service.gate.reached(1)
    call.cancel()
    await service.comes_to_rest()
    assert len(service.backend.calls) == 1


async def test_a_client_vanishes_while_it_waits_in_the_queue(tmp_path: Path) -> None:
    async with serve(tmp_path, budget_px=1) as service:
        service.gate.close()
        first = asyncio.create_task(say(service.edits, edit_of(IMAGE, **IDENTITY)))
        await service.gate.reached(1)
        second = service.edits.Edit(iter(edit_of(IMAGE)), timeout=30)
        await eventually(lambda: service.value("edits_queued") == 1)
        second.cancel()
        await eventually(lambda: service.value("edits_queued") == 0)
        assert service.value("queued_pixels") == 0
        service.gate.open()
        assert np.array_equal((await first).image(), IMAGE)
        await service.still_answers()


async def test_a_client_cancels_mid_edit_and_costs_no_further_call(service: Service) -> None:
    service.gate.close()
    call = service.edits.Edit(iter(edit_of(IMAGE, scale=4)), timeout=30)
    await accepted(call)
    in_flight = service.app.settings.tiles_in_flight
    await service.gate.reached(in_flight)
    call.cancel()
    await eventually(lambda: not service.app.admission.in_flight)
    await service.comes_to_rest()
    assert len(service.backend.calls) == in_flight
    assert service.value("tiles_total", stage="upscale", model="upscale_conservative_x4", outcome="failed") == 0


async def test_a_deadline_passes_mid_edit(service: Service) -> None:
    service.gate.close()
    outcome = await say(service.edits, edit_of(IMAGE, **IDENTITY), timeout_s=1.0)
    assert outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await service.comes_to_rest()
    assert len(service.backend.calls) == service.app.settings.tiles_in_flight


async def test_a_slow_reader_slows_the_work_and_costs_bounded_memory(service: Service) -> None:
    """A result of 144 MB that nobody reads: windows stop going to the model, and rows stop being taken in."""
    image = noise(3000, 1000)
    call = service.edits.Edit(timeout=120)
    await call.write(opened(3000, 1000, scale=4))
    responses = [await accepted(call)]
    total = responses[0].accepted.plan.stages[2].tiles_to_run
    sent: list[int] = []

    async def send() -> None:
        for message in strips(image, 60_000):
            await call.write(message)
            sent.append(message.tile.rect.height)
        await call.done_writing()

    process = psutil.Process()
    before = process.memory_info().rss
    sending = asyncio.create_task(send())
    calls, quiet = -1, 0
    while quiet < 20:  # nothing has moved for 20 looks in a row
        await asyncio.sleep(0.02)
        quiet = quiet + 1 if len(service.backend.calls) == calls and not service.backend.running else 0
        calls = len(service.backend.calls)
    assert 0 < calls < total / 2
    assert process.memory_info().rss - before < 90e6
    assert not sending.done()
    async with asyncio.timeout(100):
        while (response := await call.read()) is not aio.EOF:
            responses.append(response)
        await sending
    assert np.array_equal(joined(responses), nearest(image, 4))


@pytest.mark.parametrize("sent_rows", [0, 150])
async def test_an_upload_stalls(tmp_path: Path, sent_rows: int) -> None:
    async with serve(tmp_path, upload_idle_s=0.3) as service:
        messages = [opened(300, 400, **IDENTITY), *([tile(IMAGE, 0, 0, sent_rows)] if sent_rows else [])]
        outcome = await say(service.edits, messages, half_closes=False)
        check_refusal(outcome)
        assert (outcome.code, outcome.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "UPLOAD_STALLED")
        await service.still_answers()


async def test_a_client_that_never_reads_does_not_keep_its_share(tmp_path: Path) -> None:
    async with serve(tmp_path, download_idle_s=0.5, budget_px=4_000_000) as service:
        image = noise(2000, 2000)
        call = service.edits.Edit(timeout=60)
        sending = asyncio.create_task(_send_all(call, [opened(2000, 2000, **IDENTITY), *strips(image, 500_000)]))
        await eventually(lambda: service.app.admission.in_flight == 1)
        await service.still_answers()  # which waits until the edit was ended
        assert service.value("edits_total", outcome="refused", code="DEADLINE_EXCEEDED", reason="DOWNLOAD_STALLED") == 1
        with pytest.raises(aio.AioRpcError) as caught:
            await _read_all(call)
        check_refusal(outcome_of(caught.value))
        assert outcome_of(caught.value).reason == "DOWNLOAD_STALLED"
        await sending


async def _read_all(call: Any) -> None:
    while await call.read() is not aio.EOF:
        pass


async def _send_all(call: Any, messages: Sequence[Any]) -> None:
    with contextlib.suppress(aio.AioRpcError, asyncio.InvalidStateError):  # the call ends before all is sent
        for message in messages:
            await call.write(message)
        await call.done_writing()


async def test_a_slow_model_is_no_stalled_upload(tmp_path: Path) -> None:
    """While the server takes nothing in, the client's silence is not its own."""
    async with serve(tmp_path, upload_idle_s=0.2) as service:
        service.gate.close()
        edit = asyncio.create_task(say(service.edits, [opened(2000, 100, **IDENTITY), *strips(noise(2000, 100), 30_000)]))
        await service.gate.reached(1)
        await asyncio.sleep(0.5)  # longer than upload_idle_s: this is the story, not a wait for something
        assert not edit.done()
        service.gate.open()
        assert (await edit).code is grpc.StatusCode.OK
        await service.still_answers()


# -- a full house ---------------------------------------------------------------------------------------------------------


async def test_the_queue_is_full(tmp_path: Path) -> None:
    async with serve(tmp_path, budget_px=150_000, queue=1) as service:
        service.gate.close()
        first, second = (asyncio.create_task(say(service.edits, edit_of(IMAGE, **IDENTITY))) for _ in range(2))
        await eventually(lambda: service.value("edits_queued") == 1)
        assert service.value("queued_pixels") == 120_000
        refused = await say(service.edits, edit_of(IMAGE, **IDENTITY))
        check_refusal(refused)
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert refused.retry_s
        service.gate.open()
        for edit in (first, second):
            assert np.array_equal((await edit).image(), IMAGE)
        await service.still_answers()


async def test_draining_finishes_what_runs_and_takes_nothing_new(tmp_path: Path) -> None:
    async with serve(tmp_path, budget_px=150_000) as service:
        service.gate.close()
        running = asyncio.create_task(say(service.edits, edit_of(IMAGE, **IDENTITY)))
        await service.gate.reached(1)
        waiting = asyncio.create_task(say(service.edits, edit_of(IMAGE, **IDENTITY)))
        await eventually(lambda: service.value("edits_queued") == 1)
        draining = asyncio.create_task(service.app.drain())
        health = health_pb2_grpc.HealthStub(service.channel)
        statuses = [answer.status async for answer in _until_not_serving(health)]
        assert statuses[-1] == health_pb2.HealthCheckResponse.NOT_SERVING
        for refused in (await waiting, await say(service.edits, edit_of(IMAGE))):
            check_refusal(refused)
            assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
            assert refused.retry_s
        assert not draining.done()
        service.gate.open()
        assert np.array_equal((await running).image(), IMAGE)
        await draining
        await service.comes_to_rest()


async def _until_not_serving(health: Any) -> AsyncIterator[health_pb2.HealthCheckResponse]:
    async with asyncio.timeout(20):
        watch = health.Watch(health_pb2.HealthCheckRequest(service="retouch.v1.EditService"))
        async for answer in watch:
            yield answer
            if answer.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                watch.cancel()
                return


async def test_an_edit_that_outlasts_the_drain_is_ended(tmp_path: Path) -> None:
    async with serve(tmp_path, drain_s=0.1) as service:
        service.gate.close()
        running = asyncio.create_task(say(service.edits, edit_of(IMAGE, **IDENTITY)))
        await service.gate.reached(1)
        async with asyncio.timeout(20):
            await service.app.drain()
            await service.app.stop(grace_s=0)
        assert (await running).code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert service.backend.running == 0
        assert service.app.admission.in_flight == 0


# -- models ---------------------------------------------------------------------------------------------------------------


async def test_a_model_is_away_three_times_and_then_well(service: Service) -> None:
    service.backend.faults.extend(ModelUnavailable("away", 1.0) for _ in range(3))
    outcome = await say(service.edits, edit_of(IMAGE, scale=2))
    assert np.array_equal(outcome.image(), nearest(IMAGE, 2))
    assert not service.backend.faults
    (stage,) = outcome.done.stages
    assert stage.tiles_retried == 3
    assert service.value("tiles_total", stage="upscale", model=stage.model.name, outcome="retried") == 3


async def test_a_model_that_stays_away_is_told(service: Service) -> None:
    patient_no_more(service)
    service.backend.faults.extend(ModelUnavailable("the model server does not answer", 2.0) for _ in range(1000))
    outcome = await say(service.edits, edit_of(IMAGE, scale=2))
    check_refusal(outcome)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE")
    assert outcome.retry_s == 2.0
    assert service.value("edits_total", outcome="failed", code="UNAVAILABLE", reason="MODEL_UNAVAILABLE") == 1


def patient_no_more(service: Service) -> None:
    """Retries without their pauses."""

    async def at_once(seconds: float) -> None:
        await asyncio.sleep(0)

    service.app.editor.dispatcher._sleep = at_once


def wrong(kind: str) -> Models:
    """A repository in which the classical inpainting, or the precheck, answers wrongly."""
    inpaint = spec("inpaint_classical", Kind.INPAINT, "classical")
    answers: dict[str, Any] = {
        "a smaller image": of_image(lambda image: image[1:]),
        "another number of channels": of_image(lambda image: image[:, :, :1]),
        "a batch": of_image(lambda image: image[None]),
        "floats": of_image(lambda image: image.astype(np.float32)),
        "no result": lambda inputs: {"image": inputs["image"]},
    }
    if kind in answers:
        return fake_models(inpaint_classical=(inpaint, answers[kind]))
    scores: dict[str, Any] = {
        "scores that are no number": fixed_scores(0.5, float("nan")),
        "infinite scores": fixed_scores(float("inf"), 0.0),
        "three scores": lambda inputs: {"scores": np.zeros(3, np.float32)},
        "double scores": lambda inputs: {"scores": np.zeros(2, np.float64)},
    }
    if kind in scores:
        return fake_models(precheck=(spec("precheck", Kind.PRECHECK), scores[kind]))
    small = (spec("text_detect", Kind.TEXT_DETECT), lambda inputs: {"result": np.zeros((2, 2, 1), np.uint8)})
    assert kind == "a map of another size"
    return fake_models(text_detect=small)


WRONG = [
    "a smaller image",
    "another number of channels",
    "a batch",
    "floats",
    "no result",
    "scores that are no number",
    "infinite scores",
    "three scores",
    "double scores",
    "a map of another size",
]


@pytest.mark.parametrize("kind", WRONG)
async def test_a_model_answers_wrongly(tmp_path: Path, kind: str) -> None:
    async with serve(tmp_path, wrong(kind)) as service:
        patient_no_more(service)
        image = noise(100, 90)
        outcome = await say(service.edits, edit_of(image, mask=np.full((100, 90), 255, np.uint8), **FILL))
        check_refusal(outcome)
        assert (outcome.code, outcome.reason) == (grpc.StatusCode.INTERNAL, "MODEL_FAULT"), outcome.message
        assert outcome.info.metadata["model"] in outcome.message
        assert len(outcome.info.metadata["edit_id"]) == 32
        assert service.value("edits_total", outcome="failed", code="INTERNAL", reason="MODEL_FAULT") == 1
        await service.still_answers()


async def test_a_bug_is_told_as_ours_and_nothing_more(tmp_path: Path) -> None:
    def broken(inputs: Any) -> Any:
        if inputs["image"].shape[0] == 64:  # the self-measurement at the start is spared
            return {"result": inputs["image"]}
        raise LookupError("/etc/secret")

    models = fake_models(inpaint_classical=(spec("inpaint_classical", Kind.INPAINT, "classical"), broken))
    async with serve(tmp_path, models) as service:
        outcome = await say(service.edits, edit_of(noise(30, 30), mask=np.full((30, 30), 255, np.uint8), **FILL))
        check_refusal(outcome)
        assert (outcome.code, outcome.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
        assert "secret" not in outcome.message
        await service.still_answers()


async def test_a_fault_ends_the_other_calls_of_its_edit_only(service: Service) -> None:
    service.gate.close()
    other = asyncio.create_task(say(service.edits, edit_of(IMAGE, **IDENTITY)))
    await service.gate.reached(4)
    service.backend.faults.extend(ModelFault("upscale_conservative_x2", "bad") for _ in range(100))
    patient_no_more(service)
    failing = asyncio.create_task(say(service.edits, edit_of(IMAGE, scale=2)))
    await service.gate.reached(8)
    service.gate.open()
    outcome = await failing
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.INTERNAL, "MODEL_FAULT")
    service.backend.faults.clear()
    first = await other
    assert first.code is grpc.StatusCode.OK or first.reason == "MODEL_FAULT"  # its own later calls met the faults, too


# -- masks ----------------------------------------------------------------------------------------------------------------


def with_stored(version: int) -> list[pb.EditRequest]:
    message = opened(300, 400, **FILL)
    message.open.mask.reference.CopyFrom(image_pb2.MaskReference(image_id="a", version=version))
    return [message, *strips(IMAGE)]


async def test_a_mask_is_replaced_between_put_and_edit(service: Service) -> None:
    first, second = soft_disc(300, 400, seed=1), soft_disc(300, 400, seed=2)
    await service.put_mask("a", first)
    await service.put_mask("a", second, expected_version=1)
    outcome = await say(service.edits, with_stored(1))
    check_refusal(outcome)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STALE_MASK")
    assert service.backend.calls == []
    result = (await say(service.edits, with_stored(2))).image()
    assert np.array_equal(result, expected(IMAGE, second, text=False, inpaint=True, scale=1))


async def test_a_mask_is_replaced_mid_edit(service: Service) -> None:
    """The edit that runs keeps the mask that it pinned; the next one with that version is refused."""
    first, second = soft_disc(300, 400, seed=1), soft_disc(300, 400, seed=2)
    await service.put_mask("a", first)
    service.gate.close("inpaint_classical")
    running = asyncio.create_task(say(service.edits, with_stored(1)))
    await service.gate.reached(1)
    await service.put_mask("a", second, expected_version=1)
    service.gate.open()
    outcome = await running
    assert np.array_equal(outcome.image(), expected(IMAGE, first, text=False, inpaint=True, scale=1))
    assert (outcome.done.mask_version, outcome.done.mask_digest) == (1, digest_of(first))
    assert (await say(service.edits, with_stored(1))).reason == "STALE_MASK"


# -- everything at once ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_chaos(tmp_path: Path, seed: int) -> None:
    """Many edits at once: good ones, bad ones, cancelled ones, models that fail. The good ones are right, nothing is left."""
    draw = np.random.default_rng(seed)
    async with serve(tmp_path, budget_px=200_000, queue=100, upload_idle_s=0.5) as service:
        patient_no_more(service)
        service.backend.faults.extend(ModelUnavailable("away", 0.1) if draw.random() < 0.05 else None for _ in range(3000))

        async def one(number: int) -> Outcome | None:
            height, width = (int(side) for side in draw.integers(1, 260, 2))
            image, kind = noise(height, width, seed=number), int(draw.integers(0, 5))
            messages = edit_of(image, scale=[1, 2, 4][number % 3], mask=soft_disc(height, width, number), **FILL)
            if kind == 0:  # cancelled somewhere
                call = service.edits.Edit(iter(messages), timeout=60)
                for _ in range(int(draw.integers(0, 4))):
                    await call.read()
                call.cancel()
                return None
            if kind == 1:
                return await say(service.edits, messages[: int(draw.integers(0, len(messages)))])
            if kind == 2:
                messages[-1].tile.data = messages[-1].tile.data[:-1]
                return await say(service.edits, messages)
            outcome = await say(service.edits, messages, timeout_s=60)
            mask = soft_disc(height, width, number)
            wanted = expected(image, mask, text=False, inpaint=True, scale=[1, 2, 4][number % 3])
            assert np.array_equal(outcome.image(), wanted)
            return outcome

        async with asyncio.timeout(90), asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(number)) for number in range(40)]
        outcomes = [outcome for task in tasks if (outcome := task.result())]
        for outcome in outcomes:
            if outcome.code is not grpc.StatusCode.OK:
                check_refusal(outcome)
                assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
        await service.still_answers()


async def test_a_refusal_in_the_middle_of_a_fast_upload_still_has_its_details(service: Service) -> None:
    """The client is busy sending when the server ends the call."""
    image = noise(3000, 300)
    messages = [opened(3000, 300, **IDENTITY), *strips(image, 9_000)]
    messages[20].tile.rect.x = 1
    for _ in range(5):
        call = service.edits.Edit(iter(messages), timeout=30)
        with pytest.raises(aio.AioRpcError) as caught:
            async for _response in call:
                pass
        outcome = outcome_of(caught.value)
        check_refusal(outcome)
        assert outcome.reason == "BAD_FIELD"
