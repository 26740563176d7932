"""Every illegal sequence of messages ends with a status, never a hang; the service answers as before."""

import asyncio

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retouch.v1 import edit_service_pb2 as pb
from tests.support.service import Service
from tests.support.wire import Outcome, edit_of, noise, opened, outcome_of, say, tile

IMAGE = noise(40, 30)
OPEN = opened(40, 30)
EMPTY = pb.EditRequest()
WHOLE, UPPER, LOWER = tile(IMAGE), tile(IMAGE, 0, 0, 20), tile(IMAGE, 20, 0)

ILLEGAL = {
    "nothing": ([], "open"),
    "an empty message first": ([EMPTY, OPEN, WHOLE], "open"),
    "a tile before open": ([WHOLE, OPEN], "open"),
    "two opens": ([OPEN, OPEN, WHOLE], "tile"),
    "an open between tiles": ([OPEN, UPPER, OPEN, LOWER], "tile"),
    "an empty message between tiles": ([OPEN, UPPER, EMPTY, LOWER], "tile"),
    "no tile": ([OPEN], "tile"),
    "the lower half is missing": ([OPEN, UPPER], "tile"),
    "the upper half is missing": ([OPEN, LOWER], "tile"),
}


def check_refusal(outcome: Outcome) -> None:
    """What every refusal has: our reason, and nothing of our insides in the message."""
    assert outcome.code is not grpc.StatusCode.OK
    assert outcome.info.domain == "retouch.v1", (outcome.code, outcome.message)
    assert outcome.reason
    for word in ("Traceback", "retouch_server", "/work", ".py", "0x7"):
        assert word not in outcome.message
    if outcome.code is grpc.StatusCode.INVALID_ARGUMENT:
        (violation,) = outcome.violations
        assert violation.field == outcome.info.metadata["field"]
        assert violation.description


@pytest.mark.parametrize("name", ILLEGAL)
async def test_an_illegal_sequence_is_told(service: Service, name: str) -> None:
    messages, field = ILLEGAL[name]
    outcome = await say(service.edits, messages)
    check_refusal(outcome)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_SEQUENCE"), outcome.message
    assert outcome.violations[0].field == field
    assert service.backend.calls == []


@pytest.mark.parametrize("name", [name for name, (messages, _) in ILLEGAL.items() if len(messages) > 1])
async def test_it_is_told_without_a_half_close_too(service: Service, name: str) -> None:
    messages, _ = ILLEGAL[name]
    outcome = await say(service.edits, messages, half_closes=False)
    check_refusal(outcome)
    stalls = name.endswith("is missing")
    assert outcome.reason == ("UPLOAD_STALLED" if stalls else "BAD_SEQUENCE")


@pytest.mark.parametrize(
    ("extra", "reason"), [(WHOLE, "BAD_FIELD"), (UPPER, "BAD_FIELD"), (OPEN, "BAD_SEQUENCE"), (EMPTY, "BAD_SEQUENCE")]
)
async def test_nothing_may_follow_a_complete_image(service: Service, extra: pb.EditRequest, reason: str) -> None:
    service.gate.close()  # the edit is still running when the message comes
    outcome = await say(service.edits, [*edit_of(IMAGE, upscaler="identity"), extra])
    check_refusal(outcome)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


@pytest.mark.parametrize("messages", [[], [OPEN], [OPEN, UPPER]])
async def test_a_silent_client_is_sent_away(service: Service, messages: list[pb.EditRequest]) -> None:
    outcome = await say(service.edits, messages, half_closes=False)
    check_refusal(outcome)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "UPLOAD_STALLED")


async def test_a_client_need_not_half_close(service: Service) -> None:
    outcome = await say(service.edits, [OPEN, UPPER, LOWER], half_closes=False)
    assert np.array_equal(outcome.image(), IMAGE)


async def test_a_client_that_sends_after_a_refusal_still_gets_the_status(service: Service) -> None:
    """grpc.aio tells a client whose write meets the end of the call an internal error in place of the status."""

    async def hurry() -> None:
        call = service.edits.Edit(timeout=20)
        for _ in range(50):
            await call.write(OPEN)
            await asyncio.sleep(0)
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await hurry()
    assert outcome_of(caught.value).reason == "BAD_SEQUENCE"


GARBAGE = {
    "random bytes": b"\xff\xfe\xfd" * 20,
    "a tile cut short": WHOLE.SerializeToString()[:-1],
    "a tile whose length lies": b"\x12\xff\xff\x7f" + WHOLE.SerializeToString()[4:],
}


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("comes_first", [True, False])
async def test_bytes_that_are_no_message_are_told(service: Service, name: str, comes_first: bool) -> None:
    edit = service.channel.stream_stream("/retouch.v1.EditService/Edit")  # bytes in, bytes out
    messages = [GARBAGE[name]] if comes_first else [OPEN.SerializeToString(), GARBAGE[name]]
    call = edit(iter(messages), timeout=20)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [response async for response in call]
    outcome = outcome_of(caught.value)
    check_refusal(outcome)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_FIELD")
    assert outcome.violations[0].field == "message"


ALPHABET = {
    "open": OPEN,
    "open for an identity": opened(40, 30, upscaler="identity"),
    "open that is bad": opened(0, 30),
    "empty": EMPTY,
    "whole": WHOLE,
    "upper": UPPER,
    "lower": LOWER,
    "outside": tile(noise(10, 31)),
}


@given(
    st.lists(st.sampled_from(sorted(ALPHABET)), max_size=5).map(lambda names: ["open", *names[1:]] if names else names)
    | st.lists(st.sampled_from(sorted(ALPHABET)), max_size=4),
    st.booleans(),
)
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_any_sequence_ends_with_a_status_or_a_whole_result(service: Service, names: list[str], half_closes: bool) -> None:
    outcome = await say(service.edits, [ALPHABET[name] for name in names], half_closes=half_closes or len(names) % 4 > 0)
    if outcome.code is grpc.StatusCode.OK:
        assert names[0].startswith("open")
        assert np.array_equal(outcome.image(), IMAGE)
        assert service.backend.running == 0
    else:
        check_refusal(outcome)
        assert outcome.reason in ("BAD_SEQUENCE", "BAD_FIELD", "UPLOAD_STALLED")
        kinds = [response.WhichOneof("message") for response in outcome.responses]
        assert kinds[:1] in ([], ["accepted"])
        assert set(kinds[1:]) <= {"tile", "progress"}
    assert service.app.admission.in_flight == 0
