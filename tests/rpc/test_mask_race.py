"""Writers against edits: each result is that of the mask which the edit names, and no edit is accepted with an older one."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc
import numpy as np

from retouch.v1 import edit_service_pb2 as pb
from retouch.v1 import image_pb2, options_pb2
from retouch_server.errors import VersionConflict
from retouch_server.imaging.mask import Mask
from retouch_server.masks.store import MaskStore
from tests.support.models import expected
from tests.support.service import Service
from tests.support.wire import Image, Outcome, digest_of, noise, opened, say, soft_disc, tile

EDITS = 2000
EDITORS = 8
WRITERS = 4
IMAGE_IDS = ("shop/1", "shop/2")
IMAGE = noise(20, 24)
OPTIONS = {"text_removal": options_pb2.TEXT_REMOVAL_NEVER, "inpaint": options_pb2.INPAINT_CLASSICAL}


@dataclass
class History:
    """What was written, as the writers know it."""

    pixels: dict[str, Image] = field(default_factory=dict)
    """Digest → mask; before it is written."""
    digests: dict[tuple[str, int], str] = field(default_factory=dict)
    current: dict[str, int] = field(default_factory=dict)
    """The newest version of each image whose write has been answered."""

    def was_written(self, image_id: str, version: int, digest: str) -> None:
        assert self.digests.setdefault((image_id, version), digest) == digest, "two masks under one version"
        self.current[image_id] = max(version, self.current.get(image_id, 0))


async def write(history: History, service: Service, replica: MaskStore, number: int, ends: asyncio.Event) -> None:
    """Writes one mask after another: even numbers by this service, odd ones by another replica of it."""
    draw = random.Random(number)
    while not ends.is_set():
        image_id = draw.choice(IMAGE_IDS)
        pixels = soft_disc(20, 24, seed=draw.getrandbits(32))
        history.pixels[digest_of(pixels)] = pixels
        expected_version = history.current.get(image_id, 0)
        try:
            if number % 2:
                mask = Mask.from_array(pixels)
                version = (await replica.put(image_id, mask.to_png(), mask, expected_version))[0].version
            else:
                version = (await service.put_mask(image_id, pixels, expected_version)).version
        except VersionConflict:
            pass
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.ABORTED:
                raise
        else:
            history.was_written(image_id, version, digest_of(pixels))
        await asyncio.sleep(draw.uniform(0, 0.2))


def edit_with(image_id: str, version: int, digest: str) -> list[pb.EditRequest]:
    message = opened(20, 24, **OPTIONS)
    message.open.mask.reference.CopyFrom(image_pb2.MaskReference(image_id=image_id, version=version, digest=digest))
    return [message, tile(IMAGE)]


async def edit(history: History, service: Service, draw: random.Random) -> str:
    """One edit, checked; how it ended."""
    image_id = draw.choice(IMAGE_IDS)
    newest = history.current[image_id]
    named = max(1, newest - draw.choice([0, 0, 0, 0, 1]))
    digest = history.digests[image_id, named]
    by = draw.choice(["version", "digest", "both"])
    outcome = await say(service.edits, edit_with(image_id, named * (by != "digest"), digest * (by != "version")))
    if outcome.code is not grpc.StatusCode.OK:
        check_refusal(outcome, named, digest, by)
        return "refused"
    done = outcome.done
    assert done.mask_version == named >= newest, "a version that was replaced before the edit began"
    assert done.mask_digest == outcome.accepted.mask_digest == digest
    wanted = expected(IMAGE, history.pixels[digest], text=False, inpaint=True, scale=1)
    assert np.array_equal(outcome.image(), wanted), "pixels of another mask"
    return "done"


def check_refusal(outcome: Outcome, named: int, digest: str, by: str) -> None:
    """A stale mask is refused with both named, and only a stale one."""
    assert outcome.reason == "STALE_MASK", outcome
    told = outcome.info.metadata
    assert int(told["current_version"]) > named
    assert told["current_digest"] != digest
    assert (told["named_version"], told["named_digest"]) == (str(named * (by != "digest")), digest * (by != "version"))


async def test_no_edit_uses_another_mask_than_the_one_it_names(service: Service) -> None:
    history, ends, draw = History(), asyncio.Event(), random.Random(7)
    for image_id in IMAGE_IDS:
        history.pixels[digest_of(soft_disc(20, 24))] = soft_disc(20, 24)
        stored = await service.put_mask(image_id, soft_disc(20, 24))
        history.was_written(image_id, stored.version, stored.digest)
    replica = await MaskStore.open(service.app.settings.mask_store)
    left = iter(range(EDITS))
    outcomes: Counter[str] = Counter()

    async def work() -> None:
        for _ in left:
            outcomes[await edit(history, service, draw)] += 1

    began_s = time.monotonic()
    async with asyncio.TaskGroup() as writers:
        for number in range(WRITERS):
            writers.create_task(write(history, service, replica, number, ends))
        async with asyncio.TaskGroup() as editors:
            for _ in range(EDITORS):
                editors.create_task(work())
        ends.set()
    await replica.close()
    print(f"{outcomes}, {len(history.digests)} versions, {time.monotonic() - began_s:.1f} s")
    assert outcomes.total() == EDITS
    # How many of each depends on the machine's load; both must be many for the race to have been one.
    assert min(outcomes["done"], outcomes["refused"]) > EDITS / 40
    assert len(history.digests) > 2 * WRITERS
