"""When an edit is made again, and when not."""

import numpy as np
import pytest

from retouch import (
    Accepted,
    BadFieldError,
    DrainingError,
    Event,
    ModelFaultError,
    OverloadedError,
    RetouchClient,
    Retry,
    TileReady,
    UnavailableError,
)
from retouch.testing import Code, FakeServer, Fault
from tests.client.support import Naps

IMAGE = np.arange(300 * 400 * 3, dtype=np.uint32).reshape(300, 400, 3).astype(np.uint8)
DRAINING = Fault(Code.UNAVAILABLE, "DRAINING", retry_after_s=3.0)


async def test_the_servers_hint_wins_over_the_backoff(fake: FakeServer, client: RetouchClient, naps: Naps) -> None:
    fake.script(DRAINING, Fault(Code.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after_s=0.5), Fault(Code.UNAVAILABLE))
    np.testing.assert_array_equal(await client.edit_image(IMAGE), IMAGE)
    assert naps.taken_s == [3.0, 0.5, 0.8]
    assert len(fake.opened) == 4


async def test_the_last_error_is_raised_when_the_attempts_are_used_up(
    fake: FakeServer, client: RetouchClient, naps: Naps
) -> None:
    fake.script(*[Fault(Code.RESOURCE_EXHAUSTED, "OVERLOADED")] * 4)
    with pytest.raises(OverloadedError):
        await client.edit_image(IMAGE)
    assert naps.taken_s == [0.2, 0.4, 0.8]


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [(Code.INVALID_ARGUMENT, "BAD_FIELD", BadFieldError), (Code.INTERNAL, "MODEL_FAULT", ModelFaultError)],
)
async def test_other_errors_are_not_tried_again(
    code: Code, reason: str, kind: type[Exception], fake: FakeServer, client: RetouchClient, naps: Naps
) -> None:
    fake.script(Fault(code, reason, retry_after_s=1))
    with pytest.raises(kind):
        await client.edit_image(IMAGE)
    assert naps.taken_s == []


async def test_a_wait_that_outlasts_the_deadline_is_not_begun(fake: FakeServer, client: RetouchClient, naps: Naps) -> None:
    fake.script(DRAINING)
    with pytest.raises(DrainingError):
        await client.edit_image(IMAGE, timeout_s=3.0)
    assert naps.taken_s == []


async def test_a_result_is_made_again_from_the_start_after_a_fault_in_the_middle(
    fake: FakeServer, client: RetouchClient, naps: Naps
) -> None:
    image = np.tile(IMAGE, (5, 2, 1))
    fake.script(Fault(Code.UNAVAILABLE, "DRAINING", after_tiles=2))
    np.testing.assert_array_equal(await client.edit_image(image, scale=2), image.repeat(2, 0).repeat(2, 1))
    assert len(fake.opened) == 2
    assert len(naps.taken_s) == 1


async def test_an_iteration_is_made_again_before_its_first_tile(fake: FakeServer, client: RetouchClient, naps: Naps) -> None:
    fake.script(Fault(Code.UNAVAILABLE, "DRAINING", after_tiles=0))
    call = client.edit(IMAGE)
    events: list[Event] = [event async for event in call]
    assert [event.edit_id for event in events if isinstance(event, Accepted)] == ["fake-1", "fake-2"]
    assert call.report.edit_id == "fake-2"
    np.testing.assert_array_equal(await call, IMAGE)


async def test_an_iteration_is_not_made_again_after_its_first_tile(fake: FakeServer, client: RetouchClient, naps: Naps) -> None:
    fake.script(Fault(Code.UNAVAILABLE, "DRAINING", after_tiles=1))
    events: list[Event] = []

    async def consume() -> None:
        async for event in client.edit(np.tile(IMAGE, (5, 2, 1)), scale=2):
            events.append(event)  # noqa: PERF401 - what came before the error matters

    with pytest.raises(DrainingError):
        await consume()
    assert sum(isinstance(event, TileReady) for event in events) == 1
    assert naps.taken_s == []


async def test_one_attempt_means_none_again(fake: FakeServer) -> None:
    fake.script(Fault(Code.UNAVAILABLE))
    async with RetouchClient(fake.target, retry=Retry(attempts=1)) as client:
        with pytest.raises(UnavailableError):
            await client.edit_image(IMAGE)


@pytest.mark.parametrize("method", ["Precheck", "ListModels", "ListMaskVersions", "SuggestMask", "PutMask", "GetMask"])
async def test_other_calls_are_made_again_too(method: str, fake: FakeServer, client: RetouchClient, naps: Naps) -> None:
    await client.masks.put("a", IMAGE[:, :, 0])
    fake.script(Fault(Code.UNAVAILABLE, "DRAINING", retry_after_s=2, method=method))  # type: ignore[arg-type]
    await {
        "Precheck": lambda: client.precheck(IMAGE),
        "ListModels": client.models,
        "ListMaskVersions": lambda: client.masks.list("a"),
        "SuggestMask": lambda: client.masks.suggest(IMAGE),
        "PutMask": lambda: client.masks.put("b", IMAGE[:, :, 0]),
        "GetMask": lambda: client.masks.get("a"),
    }[method]()
    assert naps.taken_s == [2.0]


def test_backoff_grows_to_its_limit_and_jitter_only_adds() -> None:
    retry = Retry(initial_backoff_s=1, max_backoff_s=5, jitter=0.5, random=lambda: 1.0)
    assert [retry.delay_s(failures, None) for failures in range(5)] == [1.5, 3.0, 6.0, 7.5, 7.5]
    assert retry.delay_s(0, 10.0) == 15.0
