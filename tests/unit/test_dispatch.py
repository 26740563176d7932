"""Model calls are tried again, on another replica, and never silently replaced."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import numpy as np
import pytest

from retouch_server.errors import ModelFault, ModelUnavailable, RetouchError
from retouch_server.models.backend import Array, Call, Output
from retouch_server.models.dispatch import Dispatcher, RetryPolicy
from retouch_server.models.fake import FakeBackend
from retouch_server.models.spec import ModelSpec
from tests.support.models import fake_models

IMAGE = np.zeros((2, 2, 3), np.uint8)
CALL = Call("identity", {"image": IMAGE}, {"result": Output((2, 2, 3), np.uint8)})


class Replicas(FakeBackend):
    """A fake that notes which replica was asked."""

    def __init__(self, faults: list[Exception | None]) -> None:
        super().__init__(fake_models(), faults)
        self.attempts: list[int] = []

    @asynccontextmanager
    async def infer(self, call: Call, *, turn: int = 0) -> AsyncGenerator[Mapping[str, Array]]:
        self.attempts.append(turn)
        async with super().infer(call, turn=turn) as outputs:
            yield outputs

    async def specs(self) -> list[ModelSpec]:
        return []


class Clock:
    """Counts seconds in place of sleeping them."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def away(count: int) -> list[Exception | None]:
    return [ModelUnavailable("away", 1.0) for _ in range(count)]


async def test_what_goes_well_is_called_once() -> None:
    backend, clock = Replicas([]), Clock()
    async with Dispatcher(backend, sleep=clock.sleep).infer(CALL) as outputs:
        assert np.array_equal(outputs["result"], IMAGE)
        assert backend.running == 1
    assert (backend.attempts, clock.slept, backend.running) == ([0], [], 0)


async def test_a_model_that_is_away_is_asked_again_elsewhere_with_growing_pauses() -> None:
    backend, clock, retries = Replicas(away(5)), Clock(), list[None]()
    async with Dispatcher(backend, sleep=clock.sleep).infer(CALL, lambda: retries.append(None)):
        pass
    assert backend.attempts == [0, 1, 2, 3, 4, 5]
    assert len(retries) == 5
    for pause, most in zip(clock.slept, [0.1, 0.2, 0.4, 0.8, 1.6], strict=True):
        assert most / 2 <= pause <= most


async def test_pauses_are_bound() -> None:
    assert all(RetryPolicy().delay_s(attempt) <= RetryPolicy().most_s for attempt in range(100))


async def test_it_gives_up_after_the_last_attempt() -> None:
    backend, clock = Replicas(away(100)), Clock()
    with pytest.raises(ModelUnavailable):
        async with Dispatcher(backend, RetryPolicy(attempts=4), clock.sleep).infer(CALL):
            pass
    assert backend.attempts == [0, 1, 2, 3]
    assert len(clock.slept) == 3
    assert backend.running == 0


async def test_the_default_outlasts_a_restart_of_triton() -> None:
    policy = RetryPolicy()
    assert sum(0.5 * min(policy.most_s, policy.first_s * 2**n) for n in range(policy.attempts - 1)) > 10


async def test_a_model_that_answers_wrongly_is_asked_once_more() -> None:
    backend, clock = Replicas([ModelFault("identity", "bad"), None]), Clock()
    async with Dispatcher(backend, sleep=clock.sleep).infer(CALL):
        pass
    assert backend.attempts == [0, 1]
    backend.faults.extend(ModelFault("identity", "bad") for _ in range(3))
    with pytest.raises(ModelFault):
        async with Dispatcher(backend, sleep=clock.sleep).infer(CALL):
            pass
    assert backend.attempts == [0, 1, 0, 1]


async def test_each_attempt_has_a_slot_and_none_is_held_between_them() -> None:
    backend, held, told = Replicas(away(2)), 0, list[int]()

    @asynccontextmanager
    async def slot() -> AsyncGenerator[None]:
        nonlocal held
        held += 1
        try:
            yield
        finally:
            held -= 1

    async def sleep(seconds: float) -> None:
        told.append(held)

    async with Dispatcher(backend, sleep=sleep).infer(CALL, slot=slot):
        assert (held, backend.running) == (1, 1)
    assert (held, told, len(backend.attempts)) == (0, [0, 0], 3)


@pytest.mark.parametrize("error", [ModelUnavailable("mine", 1.0), ModelFault("identity", "mine"), KeyError("mine")])
async def test_what_the_caller_raises_is_not_retried(error: Exception) -> None:
    backend, clock = Replicas([]), Clock()
    with pytest.raises(type(error), match="mine"):
        async with Dispatcher(backend, sleep=clock.sleep).infer(CALL):
            raise error
    assert (backend.attempts, clock.slept, backend.running) == ([0], [], 0)


@pytest.mark.parametrize(
    "output", [Output((2, 2, 1), np.uint8), Output((4, 4, 3), np.uint8), Output((2, 2, 3), np.float32)], ids=str
)
async def test_an_answer_of_another_shape_or_type_is_a_fault(output: Output) -> None:
    backend, clock = Replicas([]), Clock()
    with pytest.raises(RetouchError) as caught:
        async with Dispatcher(backend, sleep=clock.sleep).infer(Call("identity", CALL.inputs, {"result": output})):
            pass
    assert isinstance(caught.value, ModelFault)
    assert backend.attempts == [0, 1], "asked once more, elsewhere"
    assert backend.running == 0


async def test_an_answer_without_the_output_is_a_fault() -> None:
    backend, clock = Replicas([]), Clock()
    call = Call("identity", CALL.inputs, {"other": Output((1,), np.uint8)})
    with pytest.raises(ModelFault, match="missing"):
        async with Dispatcher(backend, sleep=clock.sleep).infer(call):
            pass
    assert backend.running == 0
