"""No edit ever uses a stale mask."""

import asyncio

import grpc
import numpy as np
import pytest
from grpc import aio

from retouch.v1 import edit_service_pb2 as pb
from retouch.v1 import image_pb2, options_pb2
from retouch_server.errors import MaskNotFound
from retouch_server.imaging.mask import Mask
from retouch_server.masks.registry import StoredMask
from retouch_server.masks.store import MaskStore
from tests.rpc.test_sequences import check_refusal
from tests.support.models import expected
from tests.support.service import Service, eventually
from tests.support.wire import digest_of, noise, opened, outcome_of, say, soft_disc, tile

IMAGE = noise(100, 90)
FIRST, SECOND = soft_disc(100, 90, seed=1), soft_disc(100, 90, seed=2)
OPTIONS = {"text_removal": options_pb2.TEXT_REMOVAL_NEVER, "inpaint": options_pb2.INPAINT_CLASSICAL}


def edit_with(version: int = 0, digest: str = "", image_id: str = "shop/1") -> list[pb.EditRequest]:
    message = opened(100, 90, **OPTIONS)
    message.open.mask.reference.CopyFrom(image_pb2.MaskReference(image_id=image_id, version=version, digest=digest))
    return [message, tile(IMAGE)]


@pytest.mark.parametrize("by", ["version", "digest", "both", "upper-case digest"])
async def test_the_current_mask_is_used(service: Service, by: str) -> None:
    await service.put_mask("shop/1", FIRST)
    stored = await service.put_mask("shop/1", SECOND, expected_version=1)
    digest = stored.digest.upper() if by == "upper-case digest" else stored.digest
    outcome = await say(service.edits, edit_with(2 if by in ("version", "both") else 0, digest if by != "version" else ""))
    assert np.array_equal(outcome.image(), expected(IMAGE, SECOND, text=False, inpaint=True, scale=1))
    assert (outcome.done.mask_version, outcome.done.mask_digest) == (2, digest_of(SECOND))
    assert outcome.accepted.mask_version == 2


@pytest.mark.parametrize("by", ["version", "digest", "both", "later version"])
async def test_a_stale_mask_is_refused_before_any_model_runs(service: Service, by: str) -> None:
    await service.put_mask("shop/1", FIRST)
    await service.put_mask("shop/1", SECOND, expected_version=1)
    version = {"version": 1, "both": 1, "later version": 3}.get(by, 0)
    digest = digest_of(FIRST) if by in ("digest", "both") else ""
    outcome = await say(service.edits, edit_with(version, digest))
    check_refusal(outcome)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STALE_MASK")
    for named in filter(None, (f"version {version}" if version else "", digest, "version 2", digest_of(SECOND))):
        assert named in outcome.message
    assert outcome.info.metadata["current_version"] == "2"
    assert outcome.info.metadata["current_digest"] == digest_of(SECOND)
    assert [violation.subject for violation in outcome.preconditions] == ["shop/1"]
    assert service.backend.calls == []
    assert service.value("stale_masks_refused_total") == 1


@pytest.mark.parametrize("while_it", ["uploads", "is planned"])
async def test_a_mask_that_is_replaced_before_the_edit_is_accepted_refuses_it(service: Service, while_it: str) -> None:
    await service.put_mask("shop/1", FIRST)
    messages = edit_with(1)
    if while_it == "is planned":
        service.gate.close("precheck", "text_detect")
    call = service.edits.Edit(timeout=30)
    await call.write(messages[0])
    if while_it == "is planned":
        await call.write(messages[1])
        await service.gate.reached(1)
    else:
        await eventually(lambda: bool(service.app.admission.in_flight))
    await service.put_mask("shop/1", SECOND, expected_version=1)
    service.gate.open()
    if while_it == "uploads":
        await call.write(messages[1])
    with pytest.raises(aio.AioRpcError) as caught:
        await call.read()
    outcome = outcome_of(caught.value)
    assert (outcome.reason, outcome.info.metadata["current_version"]) == ("STALE_MASK", "2")
    assert set(service.backend.calls) <= {"precheck", "text_detect"}
    assert service.value("stale_masks_refused_total") == 1


async def test_a_mask_that_is_replaced_later_does_not_disturb(service: Service) -> None:
    await service.put_mask("shop/1", FIRST)
    service.gate.close("inpaint_classical")
    edit = asyncio.create_task(say(service.edits, edit_with(1)))
    await service.gate.reached(1)
    await service.put_mask("shop/1", SECOND, expected_version=1)
    service.gate.open()
    outcome = await edit
    assert np.array_equal(outcome.image(), expected(IMAGE, FIRST, text=False, inpaint=True, scale=1))
    assert (outcome.done.mask_version, outcome.done.mask_digest) == (1, digest_of(FIRST))


async def test_a_mask_is_read_and_decoded_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    await service.put_mask("shop/1", FIRST)
    await service.put_mask("shop/2", FIRST)
    reads: list[str] = []
    read = MaskStore.get

    async def counted(self: MaskStore, image_id: str, version: int = 0) -> tuple[StoredMask, bytes]:
        reads.append(image_id)
        return await read(self, image_id, version)

    monkeypatch.setattr(MaskStore, "get", counted)
    for image_id in ("shop/1", "shop/1", "shop/2"):
        outcome = await say(service.edits, edit_with(1, image_id=image_id))
        assert np.array_equal(outcome.image(), expected(IMAGE, FIRST, text=False, inpaint=True, scale=1))
    assert reads == ["shop/1"]


async def test_a_version_that_is_given_up_before_it_is_read_is_stale(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    await service.put_mask("shop/1", FIRST)

    async def given_up(self: MaskStore, image_id: str, version: int = 0) -> tuple[StoredMask, bytes]:
        mask = Mask.from_array(SECOND)
        await self.put(image_id, mask.to_png(), mask, 1)
        raise MaskNotFound(image_id, version)

    monkeypatch.setattr(MaskStore, "get", given_up)
    assert (await say(service.edits, edit_with(1))).reason == "STALE_MASK"


async def test_content_that_did_not_change_makes_nothing_stale(service: Service) -> None:
    await service.put_mask("shop/1", FIRST)
    assert (await service.put_mask("shop/1", FIRST, expected_version=1)).version == 1
    assert (await say(service.edits, edit_with(1))).code is grpc.StatusCode.OK


async def test_an_unknown_image_has_no_mask(service: Service) -> None:
    outcome = await say(service.edits, edit_with(1, image_id="nobody"))
    check_refusal(outcome)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.NOT_FOUND, "MASK_NOT_FOUND")
    assert outcome.info.metadata["image_id"] == "nobody"


async def test_a_stored_mask_must_have_the_images_size(service: Service) -> None:
    await service.put_mask("shop/1", soft_disc(90, 100))
    outcome = await say(service.edits, edit_with(1))
    check_refusal(outcome)
    assert outcome.violations[0].field == "mask.reference"
