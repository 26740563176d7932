"""The fake keeps its promise: a fault that never happens fails the test."""

import numpy as np
import pytest

from retouch import InternalError, RetouchClient, Retry, UnavailableError
from retouch.testing import Code, FakeServer, Fault


async def test_faults_left_over_are_an_error() -> None:
    with pytest.raises(AssertionError, match="never used"):
        async with FakeServer() as fake:
            fake.script(Fault(Code.INTERNAL))


async def test_a_failing_test_is_not_hidden_by_faults_left_over() -> None:
    async def failing() -> None:
        async with FakeServer() as fake:
            fake.script(Fault(Code.INTERNAL))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()


async def test_faults_are_used_by_the_method_they_are_for() -> None:
    async with FakeServer() as fake, RetouchClient(fake.target) as client:
        fake.script(Fault(Code.INTERNAL, "INTERNAL", method="ListModels"))
        await client.edit_image(np.zeros((2, 2), np.uint8))
        with pytest.raises(InternalError):
            await client.models()
        assert len(await client.models()) == 2


async def test_health_is_what_it_is_set_to() -> None:
    async with FakeServer() as fake, RetouchClient(fake.target) as client:
        for number, word in enumerate(("unknown", "serving", "not_serving", "service_unknown")):
            fake.health = number
            assert await client.health("retouch.v1.EditService") == word


async def test_a_server_that_does_not_serve_gets_no_calls() -> None:
    async with FakeServer() as fake, RetouchClient(fake.target, retry=Retry(attempts=1)) as client:
        fake.health = 2
        with pytest.raises(UnavailableError):
            await client.models()
        assert await client.health() == "not_serving"
        assert fake.tokens == [""], "only the question for its health came"
