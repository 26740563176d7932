"""Every error of the server arrives as its own exception, with all it carries."""

import pickle

import grpc
import pytest

import retouch
from retouch import errors
from retouch.cli.exits import EXITS, MEANINGS, exit_for
from retouch.testing import FakeServer, Fault
from retouch_server.rpc import status


def test_the_table_is_the_servers_both_ways() -> None:
    theirs = {(row.code, row.reason) for row in (*status.TABLE.values(), status.UNKNOWN)}
    assert set(errors.TABLE) == theirs
    assert errors.DOMAIN == status.DOMAIN


def test_every_code_has_a_fallback_that_its_reasons_specialise() -> None:
    assert set(errors.BY_CODE) == set(grpc.StatusCode)
    for (code, reason), kind in errors.TABLE.items():
        assert issubclass(kind, errors.BY_CODE[code]), reason


def test_every_exception_has_an_exit_code_with_a_meaning() -> None:
    for kind in {*errors.TABLE.values(), *errors.BY_CODE.values(), errors.InvalidInputError, errors.ProtocolError}:
        assert exit_for(_bare(kind)).code in MEANINGS
    assert set(EXITS) <= {value for value in vars(retouch).values() if isinstance(value, type)}


@pytest.mark.parametrize(("code", "reason"), errors.TABLE, ids=lambda each: str(each))
async def test_each_reason_arrives_as_its_exception(
    code: grpc.StatusCode, reason: str, fake: FakeServer, client: retouch.RetouchClient
) -> None:
    fault = Fault(
        code,
        reason,
        "what and what to do",
        metadata={"edit_id": "e-1", "answer": "42"},
        field_violations=(("options.scale", "is 3; must be 1, 2 or 4"),),
        retry_after_s=1.5,
        method="ListModels",
    )
    attempts = 4 if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED) else 1
    fake.script(*[fault] * attempts)
    with pytest.raises(errors.ServiceError) as caught:
        await client.models()
    error = caught.value
    assert type(error) is errors.TABLE[code, reason]
    assert (error.code, error.reason, str(error)) == (code, reason, "what and what to do")
    assert error.metadata == {"edit_id": "e-1", "answer": "42"}
    assert error.edit_id == "e-1"
    assert error.retry_after_s == 1.5
    assert error.field_violations == (errors.FieldViolation("options.scale", "is 3; must be 1, 2 or 4"),)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.details) == (type(error), error.details)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_a_code_without_details_is_still_a_service_error(
    code: grpc.StatusCode, fake: FakeServer, client: retouch.RetouchClient
) -> None:
    attempts = 4 if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED) else 1
    fake.script(*[Fault(code)] * attempts)
    with pytest.raises(errors.ServiceError) as caught:
        await client.edit_image(_image())
    assert type(caught.value) is errors.BY_CODE[code]
    assert caught.value.reason == ""


async def test_a_newer_servers_reason_falls_back_to_its_code(fake: FakeServer, client: retouch.RetouchClient) -> None:
    fake.script(Fault(grpc.StatusCode.FAILED_PRECONDITION, "MOON_PHASE", method="ListModels"))
    with pytest.raises(errors.PreconditionError) as caught:
        await client.models()
    assert caught.value.reason == "MOON_PHASE"


async def test_nobody_there_is_unavailable(naps: "object") -> None:
    async with retouch.RetouchClient("127.0.0.1:1", retry=retouch.Retry(attempts=1)) as client:
        with pytest.raises(retouch.UnavailableError):
            await client.edit_image(_image())


def test_another_domains_reason_is_not_taken_for_ours() -> None:
    from google.protobuf import any_pb2
    from google.rpc import error_details_pb2, status_pb2

    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason="STALE_MASK", domain="elsewhere"))
    error = errors.from_status(status_pb2.Status(code=9, details=[packed]))
    assert type(error) is errors.PreconditionError


def _bare(kind: type[errors.RetouchError]) -> errors.RetouchError:
    if issubclass(kind, errors.ServiceError):
        return kind("message", errors.ErrorDetails(grpc.StatusCode.UNKNOWN))
    return kind("message")


def _image() -> "object":
    import numpy as np

    return np.zeros((3, 4, 3), np.uint8)
