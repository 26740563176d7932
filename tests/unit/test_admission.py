"""Admission: first come, first served, within a budget; a full queue is an answer; everything comes back."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack

import pytest

from retouch_server.errors import ClientBudgetExceeded, Draining, Overloaded
from retouch_server.pipeline.admission import Admission, Limits
from retouch_server.telemetry.metrics import Metrics


class House:
    """An admission with a log of who came in."""

    def __init__(self, **limits: int) -> None:
        self.metrics = Metrics()
        self.admission = Admission(Limits(**limits), self.metrics)
        self.entered: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._leave: dict[str, asyncio.Event] = {}

    async def come(self, name: str, pixels: int, client: str = "") -> None:
        """Starts an edit and lets it get as far as it does."""
        self._leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._stay(name, pixels, client))
        await turns()

    async def leave(self, name: str) -> None:
        self._leave[name].set()
        await self.tasks[name]
        await turns()

    async def _stay(self, name: str, pixels: int, client: str) -> None:
        async with self.admission.admit(pixels, client):
            self.entered.append(name)
            await self._leave[name].wait()

    def gauges(self) -> tuple[float | None, ...]:
        names = ("edits_in_flight", "in_flight_pixels", "edits_queued", "queued_pixels")
        return tuple(self.metrics.registry.get_sample_value(f"retouch_{name}") for name in names)

    def is_empty(self) -> bool:
        admission = self.admission
        return self.gauges() == (0, 0, 0, 0) and (admission.in_flight, admission.in_flight_px) == (0, 0)


async def turns() -> None:
    """Lets all that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def fails(work: Coroutine[None, None, None], error: type[Exception]) -> None:
    with pytest.raises(error):
        await work


async def test_those_that_fit_the_budget_run_together_and_the_rest_waits_its_turn() -> None:
    house = House(budget_px=100)
    for name, pixels in (("a", 60), ("b", 40), ("c", 50), ("d", 10)):
        await house.come(name, pixels)
    assert house.entered == ["a", "b"]
    assert house.gauges() == (2, 100, 2, 60)
    await house.leave("b")  # d would fit, but c came first
    assert house.entered == ["a", "b"]
    await house.leave("a")
    assert house.entered == ["a", "b", "c", "d"]
    await house.leave("c")
    await house.leave("d")
    assert house.is_empty()


async def test_an_image_over_the_budget_is_admitted_alone() -> None:
    house = House(budget_px=100)
    await house.come("small", 10)
    await house.come("huge", 5000)
    await house.come("after", 10)
    assert house.entered == ["small"]
    await house.leave("small")
    assert house.entered == ["small", "huge"]
    await house.leave("huge")
    assert house.entered == ["small", "huge", "after"]
    await house.leave("after")
    assert house.is_empty()


async def test_a_full_queue_is_an_answer() -> None:
    house = House(budget_px=100, queue=1)
    await house.come("in", 100)
    await house.come("waits", 1)
    await house.come("sent away", 1)
    assert house.tasks["sent away"].done()
    with pytest.raises(Overloaded) as caught:
        await house.tasks["sent away"]
    assert caught.value.retry_after_s > 0
    await house.leave("in")
    await house.leave("waits")
    assert house.is_empty()


async def test_without_a_queue_only_what_fits_is_taken() -> None:
    house = House(budget_px=100, queue=0)
    await house.come("in", 100)
    await house.come("sent away", 1)
    await fails(house.admission.admit(1).__aenter__(), Overloaded)  # type: ignore[arg-type]
    with pytest.raises(Overloaded):
        await house.tasks["sent away"]
    await house.leave("in")
    assert house.is_empty()


@pytest.mark.parametrize("who", ["first", "second"])
async def test_one_that_stops_waiting_makes_room(who: str) -> None:
    house = House(budget_px=100)
    await house.come("in", 90)
    await house.come("first", 50)
    await house.come("second", 10)
    house.tasks[who].cancel()
    await asyncio.wait([house.tasks[who]])
    await turns()
    assert house.tasks[who].cancelled()
    # Without the one that blocked it, the second fits beside "in".
    assert house.entered == (["in", "second"] if who == "first" else ["in"])
    await house.leave("in")
    await house.leave("second" if who == "first" else "first")
    assert house.is_empty()


async def test_admitted_and_cancelled_in_the_same_turn_gives_the_pixels_back() -> None:
    house = House(budget_px=100)
    await house.come("in", 100)
    await house.come("waits", 70)
    house._leave["in"].set()
    house.tasks["in"].add_done_callback(lambda _: house.tasks["waits"].cancel())
    await asyncio.wait([house.tasks["in"]])
    await asyncio.wait([house.tasks["waits"]])
    assert house.is_empty()


async def test_an_edit_that_fails_gives_its_pixels_back() -> None:
    house = House()
    with pytest.raises(KeyError):
        async with house.admission.admit(7):
            raise KeyError
    assert house.is_empty()


async def test_a_client_has_a_share() -> None:
    house = House(client_budget_px=100)
    await house.come("a", 60, "shop")
    await house.come("b", 40, "shop")
    await house.come("c", 1, "shop")
    await house.come("d", 90, "blog")
    with pytest.raises(ClientBudgetExceeded, match="100 px"):
        await house.tasks["c"]
    assert house.entered == ["a", "b", "d"]
    await house.leave("b")
    await house.come("e", 30, "shop")
    assert house.entered[-1] == "e"
    for name in "ade":
        await house.leave(name)
    # An image larger than the share is taken when the client has nothing else in flight.
    await house.come("large", 101, "shop")
    assert house.entered[-1] == "large"
    await house.leave("large")
    assert house.is_empty()


async def test_what_waits_counts_in_a_clients_share() -> None:
    house = House(budget_px=10, client_budget_px=15)
    await house.come("in", 10, "shop")
    await house.come("waits", 5, "shop")
    await house.come("too much", 1, "shop")
    with pytest.raises(ClientBudgetExceeded):
        await house.tasks["too much"]
    await house.leave("in")
    await house.leave("waits")
    assert house.is_empty()


async def test_draining_finishes_what_runs_and_sends_the_rest_away() -> None:
    house = House(budget_px=100)
    await house.come("in", 100)
    await house.come("waits", 10)
    drained = asyncio.create_task(house.admission.drain())
    await turns()
    with pytest.raises(Draining):
        await house.tasks["waits"]
    await house.come("late", 1)
    with pytest.raises(Draining):
        await house.tasks["late"]
    assert not drained.done()
    await house.leave("in")
    await drained
    assert house.is_empty()


async def test_an_idle_house_drains_at_once() -> None:
    async with asyncio.timeout(1), AsyncExitStack():
        await House().admission.drain()
