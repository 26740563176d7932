"""A place at the models goes to the edit that is most behind, and none is lost."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retouch_server.pipeline.slots import Slots


class Edit:
    """An edit that is behind by a given share."""

    def __init__(self, share: float = 0.0) -> None:
        self.share = share

    def behind(self) -> float:
        return self.share


class House:
    """Windows that hold their slots until told to leave."""

    def __init__(self, count: int) -> None:
        self.waiting = 0
        self.slots = Slots(count, self._note)
        self.inside: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def _note(self, waiting: int) -> None:
        self.waiting = waiting

    async def _hold(self, name: str, edit: Edit) -> None:
        async with self.slots.slot(edit):
            self.inside.append(name)
            await self._gates[name].wait()
            self.inside.remove(name)

    async def come(self, name: str, edit: Edit) -> None:
        self._gates[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._hold(name, edit))
        await asyncio.sleep(0)

    async def leave(self, name: str) -> None:
        self._gates[name].set()
        await self._tasks[name]
        await asyncio.sleep(0)

    def cancel(self, name: str) -> asyncio.Task[None]:
        self._tasks[name].cancel()
        return self._tasks[name]

    async def close(self) -> None:
        for gate in self._gates.values():
            gate.set()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


@asynccontextmanager
async def house(count: int) -> AsyncGenerator[House]:
    it = House(count)
    yield it
    await it.close()
    assert (it.inside, it.waiting) == ([], 0)


async def test_without_a_number_nobody_waits() -> None:
    async with house(0) as it:
        for number in range(20):
            await it.come(f"{number}", Edit())
        assert len(it.inside) == 20


async def test_who_is_most_behind_goes_first_and_windows_of_one_edit_in_their_order() -> None:
    early, late = Edit(-0.2), Edit(0.3)
    async with house(1) as it:
        for name, edit in (("first", early), ("early 1", early), ("late 1", late), ("late 2", late), ("early 2", early)):
            await it.come(name, edit)
        assert (it.inside, it.waiting) == (["first"], 4)
        await it.leave("first")
        assert it.inside == ["late 1"]
        late.share = -0.5  # it caught up
        await it.leave("late 1")
        assert it.inside == ["early 1"]
        await it.leave("early 1")
        assert it.inside == ["early 2"]
        await it.leave("early 2")
        assert it.inside == ["late 2"]


async def test_those_who_are_equally_behind_take_turns() -> None:
    one, other = Edit(), Edit()
    async with house(1) as it:
        for name, edit in (("one 1", one), ("other 1", other), ("one 2", one), ("other 2", other)):
            await it.come(name, edit)
        seen: list[str] = []
        while it.inside:
            seen += it.inside
            await it.leave(it.inside[0])
        assert seen == ["one 1", "other 1", "other 2", "one 2"] or seen == ["one 1", "other 1", "one 2", "other 2"]


async def test_a_window_that_gives_up_waiting_takes_no_place() -> None:
    async with house(1) as it:
        for name in ("holds", "gives up", "waits"):
            await it.come(name, Edit())
        await asyncio.gather(it.cancel("gives up"), return_exceptions=True)
        assert it.waiting == 1
        await it.leave("holds")
        assert it.inside == ["waits"]


async def test_a_place_given_to_one_that_is_cancelled_at_that_moment_goes_on() -> None:
    async with house(1) as it:
        for name in ("holds", "is given it", "waits"):
            await it.come(name, Edit())
        it._gates["holds"].set()
        await asyncio.sleep(0)  # `holds` has left, `is given it` has not run yet
        await asyncio.gather(it.cancel("is given it"), return_exceptions=True)
        await asyncio.sleep(0)
        assert it.inside == ["waits"]


async def test_what_fails_inside_gives_its_place_back() -> None:
    slots = Slots(1)
    for _ in range(3):
        with pytest.raises(KeyError):
            async with slots.slot(Edit()):
                raise KeyError


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(["come", "leave", "cancel"]), st.integers(0, 9)), max_size=40),
)
async def test_never_more_than_the_number_and_never_fewer_while_somebody_waits(
    count: int, steps: list[tuple[str, int]]
) -> None:
    edits = [Edit(share) for share in (-0.5, 0.0, 0.5)]
    async with house(count) as it:
        names: list[str] = []
        for number, (step, which) in enumerate(steps):
            if step == "come":
                names.append(f"{number}")
                await it.come(names[-1], edits[which % 3])
            elif step == "leave" and it.inside:
                await it.leave(it.inside[which % len(it.inside)])
            elif step == "cancel" and names:
                name = names[which % len(names)]
                if name in it.inside:
                    continue
                await asyncio.gather(it.cancel(name), return_exceptions=True)
            await asyncio.sleep(0)
            assert len(it.inside) <= count
            assert not it.waiting or len(it.inside) == count
