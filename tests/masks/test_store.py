"""The registry on SQLite and on PostgreSQL: against a dict, under contention, and killed while it writes."""

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from retouch_server.errors import BadField, MaskNotFound, StaleMask, VersionConflict
from retouch_server.imaging.mask import Mask
from retouch_server.masks.registry import MaskRegistry, Retention, parse_image_id
from retouch_server.masks.store import MaskStore
from tests.masks.conftest import NewUrl
from tests.masks.racing_writer import mask_numbered

MASKS = [Mask.full(4, 6, value) for value in (0, 1, 255)] + [Mask.full(6, 4, 0)]  # the last: same digest, other size
PNGS = [mask.to_png() for mask in MASKS]


NOW_S = 1_700_000_000.25


@pytest.fixture
async def store(url: str) -> AsyncIterator[MaskStore]:
    store = await MaskStore.open(url, now=lambda: NOW_S)
    yield store
    await store.close()


KEPT = 3


class Registry(RuleBasedStateMachine):
    """The store does what a dict of lists does, of which only the newest few can still be read."""

    new_url: NewUrl

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.url = self.runner.run(self.new_url())
        self.store = self.open()
        self.model: dict[str, list[int]] = {"a": [], "b": []}

    def open(self) -> MaskStore:
        return self.runner.run(MaskStore.open(self.url, Retention(versions=KEPT)))

    def oldest(self, image: str) -> int:
        return max(1, len(self.model[image]) - KEPT + 1)

    @rule(image=st.sampled_from("ab"), which=st.integers(0, 3), off=st.sampled_from([0, 0, 0, -1, 1, 2**63]))
    def put(self, image: str, which: int, off: int) -> None:
        history = self.model[image]
        expected = max(0, len(history) + off)
        attempt = self.store.put(image, PNGS[which], MASKS[which], expected)
        if expected != len(history):
            with pytest.raises(VersionConflict) as caught:
                self.runner.run(attempt)
            assert (caught.value.expected_version, caught.value.current_version) == (expected, len(history))
            return
        stored, is_new = self.runner.run(attempt)
        assert is_new == (not history or history[-1] != which)
        if is_new:
            history.append(which)
        assert (stored.version, stored.digest) == (len(history), MASKS[which].digest)
        assert stored.shows(MASKS[which])

    @rule(image=st.sampled_from("ab"), version=st.integers(0, 9))
    def get(self, image: str, version: int) -> None:
        history = self.model[image]
        if not history or version > len(history) or 0 < version < self.oldest(image):
            with pytest.raises(MaskNotFound):
                self.runner.run(self.store.get(image, version))
            return
        stored, png = self.runner.run(self.store.get(image, version))
        which = history[version - 1]
        assert (stored.version, stored.image_id, png) == (version or len(history), image, PNGS[which])
        assert stored.shows(MASKS[which])

    @rule(image=st.sampled_from("ab"), version=st.integers(0, 4), which=st.sampled_from([None, 0, 1, 2]))
    def pin(self, image: str, version: int, which: int | None) -> None:
        history, digest = self.model[image], "" if which is None else MASKS[which].digest
        attempt = self.store.pin(image, version, digest.upper())
        if not history:
            with pytest.raises(MaskNotFound):
                self.runner.run(attempt)
        elif version in (0, len(history)) and digest in ("", MASKS[history[-1]].digest):
            stored = self.runner.run(attempt)
            assert stored.version == len(history)
            assert stored.shows(MASKS[history[-1]])
        else:
            with pytest.raises(StaleMask) as caught:
                self.runner.run(attempt)
            assert caught.value.current_version == len(history)
            assert caught.value.current_digest == MASKS[history[-1]].digest
            assert (caught.value.named_version, caught.value.named_digest) == (version, digest.upper())

    @rule(image=st.sampled_from("ab"), before=st.sampled_from([0, 1, 2, 3, 5, 2**63, 2**64 - 1]), limit=st.integers(1, 4))
    def versions(self, image: str, before: int, limit: int) -> None:
        found = self.runner.run(self.store.versions(image, before, limit))
        below = [v for v in range(self.oldest(image), len(self.model[image]) + 1) if not before or v < before]
        assert [stored.version for stored in found] == below[::-1][:limit]

    @rule()
    def prune(self) -> None:
        assert self.runner.run(self.store.prune()) == 0  # each write has done so for its image

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.store.close())
        self.store = self.open()

    @invariant()
    def contents_are_stored_once_and_as_long_as_they_are_shown(self) -> None:
        shown = {which for history in self.model.values() for which in history[-KEPT:]}
        assert self.runner.run(contents(self.store)) == len(shown)

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()


async def contents(store: MaskStore) -> int:
    """How many contents are stored."""
    async with store.database.engine.connect() as connection:
        return (await connection.execute(sqlalchemy.text("select count(*) from mask_content"))).scalar_one()


def test_the_registry_is_a_dict_of_lists(new_url: NewUrl) -> None:
    class OnThisDatabase(Registry):
        pass

    OnThisDatabase.new_url = staticmethod(new_url)
    run_state_machine_as_test(OnThisDatabase, settings=settings(max_examples=20, stateful_step_count=25, deadline=None))


async def test_a_version_says_when_it_was_made(store: MaskStore) -> None:
    stored, _ = await store.put("image", PNGS[0], MASKS[0], 0)
    assert stored.created.isoformat() == "2023-11-14T22:13:20.250000+00:00"
    assert (await store.get("image"))[0] == stored == (await store.versions("image"))[0]


async def test_versions_that_no_database_counts_to(store: MaskStore) -> None:
    await store.put("image", PNGS[0], MASKS[0], 0)
    for version in (2**63 - 1, 2**63, 2**64 - 1):
        with pytest.raises(MaskNotFound):
            await store.get("image", version)
        with pytest.raises(StaleMask):
            await store.pin("image", version)
        with pytest.raises(VersionConflict):
            await store.put("image", PNGS[1], MASKS[1], version)
        assert len(await store.versions("image", before=version)) == 1


async def test_sixteen_writers_in_four_processes_lose_and_fork_nothing(url: str) -> None:
    script = str(Path(__file__).with_name("racing_writer.py"))
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, script, url, str(first), "4", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for first in range(0, 16, 4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    said = await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    words = [line.split() for out, _ in said for line in out.decode().splitlines()]
    won = {int(version): digest for what, version, digest in (line for line in words if line[0] == "won")}
    assert sum(int(line[1]) for line in words if line[0] == "lost") > 0
    assert len(won) == sum(line[0] == "won" for line in words) == 48
    store = await MaskStore.open(url)
    found = await store.versions("image")
    assert [(s.version, s.digest) for s in found] == [(v, won[v]) for v in range(48, 0, -1)]
    await store.close()


async def test_equal_contents_may_race(url: str) -> None:
    replicas = [await MaskStore.open(url) for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        puts = [tasks.create_task(replicas[i % 3].put(f"image{i}", PNGS[1], MASKS[1], 0)) for i in range(12)]
    assert all(put.result()[0].version == 1 for put in puts)
    for replica in replicas:
        await replica.close()


async def test_replicas_may_make_the_tables_together(url: str) -> None:
    replicas = await asyncio.gather(*(MaskStore.open(url) for _ in range(6)))
    for replica in replicas:
        await replica.close()


async def test_killed_while_writing_it_has_the_old_or_the_new_version_whole(url: str) -> None:
    rng, last, said = random.Random(4), 0, 0
    for _ in range(4):
        script = str(Path(__file__).with_name("endless_writer.py"))
        process = await asyncio.create_subprocess_exec(sys.executable, script, url, stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(rng.randint(1, 5)):
            said = int(await process.stdout.readline())
        process.kill()
        after, _ = await process.communicate()
        said = max([said, *map(int, after.split(b"\n")[:-1])])  # what it managed to say meanwhile
        store = await MaskStore.open(url)
        stored, png = await store.get("image")
        assert stored.version in (said, said + 1)
        assert stored.version > last
        assert stored.shows(Mask.from_png(png))
        for found in await store.versions("image"):
            assert found.shows(Mask.from_png((await store.get("image", found.version))[1]))
        assert [s.version for s in await store.versions("image")] == list(range(stored.version, 0, -1))
        last = stored.version
        await store.close()


async def test_a_cancelled_put_leaves_nothing_half(store: MaskStore) -> None:
    for number in range(20):
        mask = mask_numbered(number)
        version = len(await store.versions("image"))
        put = asyncio.create_task(store.put("image", mask.to_png(), mask, version))
        for _ in range(number):
            await asyncio.sleep(0)
        put.cancel()
        await asyncio.gather(put, return_exceptions=True)
        found = await store.versions("image")
        assert [s.version for s in found] == list(range(len(found), 0, -1))
    mask = mask_numbered(99)
    assert (await store.put("image", mask.to_png(), mask, len(await store.versions("image"))))[1]


async def test_retention_never_gives_up_what_is_current(url: str) -> None:
    """By number and by age, whatever the clocks of the writers say; the history stays without gaps."""
    clock = [0.0]
    store = await MaskStore.open(url, Retention(versions=5, seconds=100), lambda: clock[0])

    async def kept(image_id: str = "image") -> list[int]:
        return [stored.version for stored in await store.versions(image_id)]

    for number, clock[0] in enumerate((1000.0, 1010.0, 1005.0, 1080.0), start=1):  # the third writer's clock is slow
        await store.put("image", mask_numbered(number).to_png(), mask_numbered(number), number - 1)
    await store.put("other", PNGS[0], MASKS[0], 0)
    assert await kept() == [4, 3, 2, 1]
    clock[0] = 1108.0
    assert await store.prune() == 2  # replaced at 1010 and, as the slow clock had it, at 1005
    assert await kept() == [4, 3]
    clock[0] = 1179.0
    assert await store.prune() == 0
    clock[0] = 1_000_000.0
    assert (await store.prune(), await kept(), await kept("other")) == (1, [4], [1])
    assert await contents(store) == 2
    for version in range(4, 12):
        mask = mask_numbered(version + 1)
        await store.put("image", mask.to_png(), mask, version)
    assert await kept() == [12, 11, 10, 9, 8]
    with pytest.raises(MaskNotFound):
        await store.get("image", 7)
    assert await contents(store) == 6
    await store.close()


async def test_retention_and_writers_may_race(url: str) -> None:
    """Contents come and go on several images at once; none is lost that a version shows."""
    replicas = [await MaskStore.open(url, Retention(versions=1)) for _ in range(3)]

    async def write(store: MaskStore, image_id: str, offset: int) -> None:
        for version in range(12):
            mask = mask_numbered((version + offset) % 3)
            await store.put(image_id, mask.to_png(), mask, version)
            stored, png = await store.get(image_id)
            assert (stored.version, stored.shows(Mask.from_png(png))) == (version + 1, True)

    async with asyncio.TaskGroup() as tasks:
        for number in range(6):
            tasks.create_task(write(replicas[number % 3], f"image{number}", number))
    assert await contents(replicas[0]) == 3
    for replica in replicas:
        await replica.close()


async def test_a_database_of_an_earlier_version_gets_what_is_new(url: str) -> None:
    store = await MaskStore.open(url)
    await store.put("image", PNGS[0], MASKS[0], 0)
    async with store.database.engine.begin() as connection:
        await connection.execute(sqlalchemy.text("drop index mask_version_content"))
    await store.close()
    store = await MaskStore.open(url)
    async with store.database.engine.begin() as connection:
        await connection.execute(sqlalchemy.text("drop index mask_version_content"))  # it is there again
    assert len(await store.versions("image")) == 1
    await store.close()


def test_image_ids() -> None:
    for good in ("a", "A-Z_0.9:/@", "x" * 200):
        assert parse_image_id(good) == good
    for bad in ("", "x" * 201, "a b", "a\n", "ü", "a\0", "%"):
        with pytest.raises(BadField) as caught:
            parse_image_id(bad, "open.image_id")
        assert caught.value.field == "open.image_id"


async def test_the_store_is_a_registry(store: MaskStore) -> None:
    registry: MaskRegistry = store  # for the type checker
    assert await registry.versions("image") == []
