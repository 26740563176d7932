"""Calls whose results are kept: the same bytes, without the model; and only where that is right."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest

from retouch_server.cache.results import Results
from retouch_server.cache.store import MemoryStore
from retouch_server.cache.value import pack, unpack, value_of
from retouch_server.errors import ModelFault, ModelUnavailable
from retouch_server.models.backend import Array, Call, Output
from retouch_server.models.dispatch import Dispatcher, Models
from retouch_server.models.fake import FakeBackend
from retouch_server.models.spec import Kind, ModelSpec
from retouch_server.telemetry.metrics import Metrics
from tests.support.models import fill, of_image, spec
from tests.support.wire import noise


@dataclass
class House:
    """Models with results over fakes, and what they stand on."""

    models: Models
    backend: FakeBackend
    store: MemoryStore
    specs: dict[str, ModelSpec]
    metrics: Metrics

    async def run(self, model: str = "fill", seed: int = 0) -> tuple[Array, bool]:
        """The result, and whether it was recalled."""
        image = noise(30, 40, seed=seed)
        call = Call(model, {"image": image}, {"result": Output(image.shape, np.uint8)})
        made = len(self.backend.calls)
        async with self.models.infer(call) as outputs:
            assert not np.shares_memory(outputs["result"], image)
            return outputs["result"].copy(), len(self.backend.calls) == made

    def count(self, outcome: str, model: str = "fill") -> float:
        labels = {"model": model, "outcome": outcome}
        return self.metrics.registry.get_sample_value("retouch_cached_results_total", labels) or 0.0


@pytest.fixture
async def house() -> AsyncIterator[House]:
    known = {
        "fill": (spec("fill", Kind.INPAINT, "patch"), of_image(fill)),
        "dream": (spec("dream", Kind.INPAINT, "diffusion", is_deterministic=False), of_image(fill)),
        "nameless": (spec("nameless", Kind.INPAINT, "patch", digest=""), of_image(fill)),
    }
    backend, store, metrics = FakeBackend(known), MemoryStore(1_000_000), Metrics()
    specs = {name: model[0] for name, model in known.items()}
    with ThreadPoolExecutor(1) as executor:
        dispatcher = Dispatcher(backend, sleep=lambda s: asyncio.sleep(0))
        models = Results(store, specs.get, executor, metrics).answering(dispatcher)
        yield House(models, backend, store, specs, metrics)


async def test_a_call_is_made_once(house: House) -> None:
    first, second, other = await house.run(), await house.run(), await house.run(seed=1)
    assert np.array_equal(first[0], fill(noise(30, 40)))
    assert np.array_equal(first[0], second[0])
    assert (first[1], second[1], other[1]) == (False, True, False)
    assert house.backend.calls == ["fill"] * 2
    assert (house.count("hit"), house.count("miss")) == (1, 2)
    assert house.store.nbytes == 2 * (32 + 30 * 40 * 3)


@pytest.mark.parametrize("model", ["dream", "nameless"])
async def test_what_may_change_is_not_kept(house: House, model: str) -> None:
    """A model that is not deterministic, or that cannot be told from another one under its name."""
    assert [(await house.run(model))[1] for _ in range(2)] == [False, False]
    assert house.store.nbytes == 0
    assert house.count("miss", model) == 0


@pytest.mark.parametrize("change", [{"digest": "another"}, {"versions": ("1", "2")}])
async def test_another_model_under_the_same_name_has_results_of_its_own(house: House, change: Mapping[str, object]) -> None:
    await house.run()
    before = house.specs["fill"]
    house.specs["fill"] = replace(before, **change)
    assert not (await house.run())[1]
    house.specs["fill"] = before
    assert (await house.run())[1]


async def test_what_came_while_the_model_was_replaced_is_not_kept(house: House) -> None:
    real = house.backend.infer

    def replaced(call: Call, *, turn: int = 0):
        house.specs["fill"] = replace(house.specs["fill"], digest=f"digest {turn}")
        return real(call, turn=turn)

    house.backend.infer = replaced
    await house.run()
    assert house.store.nbytes == 0


async def test_failures_are_not_kept(house: House) -> None:
    house.backend.faults.extend([ModelFault("fill", "wrong")] * 2)
    with pytest.raises(ModelFault):
        await house.run()
    house.backend.faults.append(ModelUnavailable("away", 0.1))
    assert not (await house.run())[1]
    assert (await house.run())[1]


async def test_retries_are_told(house: House) -> None:
    retries: list[int] = []
    house.backend.faults.append(ModelUnavailable("away", 0.1))
    call = Call("fill", {"image": noise(3, 4)}, {"result": Output((3, 4, 3), np.uint8)})
    async with house.models.infer(call, lambda: retries.append(1)) as outputs:
        assert np.array_equal(outputs["result"], fill(noise(3, 4)))
    assert retries == [1]


async def test_a_call_that_is_cancelled_ends_its_work(house: House) -> None:
    for steps in range(12):
        running = asyncio.create_task(house.run(seed=steps + 10))
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert house.backend.running == 0
    assert np.array_equal((await house.run())[0], fill(noise(30, 40)))


async def test_recalled_outputs_are_read_only(house: House) -> None:
    await house.run()
    call = Call("fill", {"image": noise(30, 40)}, {"result": Output((30, 40, 3), np.uint8)})
    async with house.models.infer(call) as outputs:
        assert house.backend.calls == ["fill"]
        assert not outputs["result"].flags.writeable


def test_several_outputs_come_back_as_they_were() -> None:
    outputs = {"scores": np.array([0.5, -1], np.float32), "a": noise(3, 5)[:, 1:4], "none": np.zeros((0, 3), np.int64)}
    expected = {name: Output(array.shape, array.dtype.type) for name, array in outputs.items()}
    back = unpack(pack(outputs, expected), expected)
    for name, array in outputs.items():
        assert np.array_equal(back[name], array)
        assert back[name].dtype == array.dtype


@pytest.mark.parametrize("value", [b"", b"12345", b"1234567"])
async def test_what_has_another_length_is_no_result(house: House, value: bytes) -> None:
    await house.run()
    get = house.store.get

    async def damaged(key: bytes) -> bytes | None:
        return value if await get(key) is not None else None

    house.store.get = damaged
    result, is_recalled = await house.run()
    assert np.array_equal(result, fill(noise(30, 40)))
    assert not is_recalled


@pytest.mark.parametrize("side", [7, 400])
def test_a_kept_value_is_a_copy_that_nobody_can_write(side: int) -> None:
    pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
    before = pixels[:, ::2].copy()
    value = value_of([pixels[:, ::2], pixels[:0]])
    pixels[:] = 0
    found = np.ndarray(before.shape, np.uint8, value)
    np.testing.assert_array_equal(found, before)
    assert not found.flags.writeable
