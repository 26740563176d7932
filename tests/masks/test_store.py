"""The registry in a real SQLite file: against a dict, under contention, and killed while it writes."""

import asyncio
import random
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy.dialects import postgresql

from retouch_server.errors import BadField, MaskNotFound, Overloaded, StaleMask, VersionConflict
from retouch_server.imaging.mask import Mask
from retouch_server.masks import store as store_module
from retouch_server.masks.registry import MaskRegistry, parse_image_id
from retouch_server.masks.store import MaskStore

MASKS = [Mask.full(4, 6, value) for value in (0, 1, 255)] + [Mask.full(6, 4, 0)]  # the last: same digest, other size
PNGS = [mask.to_png() for mask in MASKS]


def url_of(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder}/deep/masks.db"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[MaskStore]:
    store = await MaskStore.open(url_of(tmp_path), now=lambda: 1_700_000_000.25)
    yield store
    await store.close()


def mask_numbered(number: int) -> Mask:
    return Mask.from_array(np.frombuffer(number.to_bytes(12, "big"), np.uint8).reshape(3, 4).copy())


class Registry(RuleBasedStateMachine):
    """The store does what a dict of lists does."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.store: MaskRegistry = self.open()
        self.model: dict[str, list[int]] = {"a": [], "b": []}

    def open(self) -> MaskStore:
        return self.runner.run(MaskStore.open(url_of(Path(self.folder.name))))

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

    @rule(image=st.sampled_from("ab"), version=st.integers(0, 6))
    def get(self, image: str, version: int) -> None:
        history = self.model[image]
        if not history or version > len(history):
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
            assert self.runner.run(attempt)[0].version == len(history)
        else:
            with pytest.raises(StaleMask) as caught:
                self.runner.run(attempt)
            assert caught.value.current_version == len(history)
            assert caught.value.current_digest == MASKS[history[-1]].digest
            assert (caught.value.named_version, caught.value.named_digest) == (version, digest.upper())

    @rule(image=st.sampled_from("ab"), before=st.sampled_from([0, 1, 2, 3, 5, 2**63, 2**64 - 1]), limit=st.integers(1, 4))
    def versions(self, image: str, before: int, limit: int) -> None:
        found = self.runner.run(self.store.versions(image, before, limit))
        below = [v for v in range(1, len(self.model[image]) + 1) if not before or v < before]
        assert [stored.version for stored in found] == below[::-1][:limit]

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.store.close())
        self.store = self.open()

    @invariant()
    def contents_are_stored_once(self) -> None:
        async def count() -> int:
            async with self.store._engine.connect() as connection:
                return (await connection.execute(sqlalchemy.text("select count(*) from mask_content"))).scalar_one()

        assert self.runner.run(count()) == len({which for history in self.model.values() for which in history})

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()


Registry.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestRegistry = Registry.TestCase


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


async def test_sixteen_writers_lose_and_fork_nothing(tmp_path: Path) -> None:
    replicas = [await MaskStore.open(url_of(tmp_path)) for _ in range(4)]
    won: dict[int, str] = {}
    lost = 0

    async def write(writer: int) -> None:
        nonlocal lost
        store, expected = replicas[writer % 4], 0
        for number in range(3):
            mask = mask_numbered(100 * writer + number)
            while True:
                try:
                    stored, is_new = await store.put("image", mask.to_png(), mask, expected)
                except VersionConflict as conflict:
                    expected, lost = conflict.current_version, lost + 1
                else:
                    break
            assert is_new
            assert stored.version == expected + 1
            assert stored.version not in won
            won[stored.version], expected = mask.digest, stored.version

    async with asyncio.TaskGroup() as tasks:
        for writer in range(16):
            tasks.create_task(write(writer))
    assert lost > 0
    found = await replicas[0].versions("image")
    assert [(s.version, s.digest) for s in found] == [(v, won[v]) for v in range(48, 0, -1)]
    for replica in replicas:
        await replica.close()


async def test_equal_contents_may_race(tmp_path: Path) -> None:
    replicas = [await MaskStore.open(url_of(tmp_path)) for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        puts = [tasks.create_task(replicas[i % 3].put(f"image{i}", PNGS[1], MASKS[1], 0)) for i in range(12)]
    assert all(put.result()[0].version == 1 for put in puts)
    for replica in replicas:
        await replica.close()


async def test_replicas_may_make_the_tables_together(tmp_path: Path) -> None:
    replicas = await asyncio.gather(*(MaskStore.open(url_of(tmp_path)) for _ in range(6)))
    for replica in replicas:
        await replica.close()


async def test_killed_while_writing_it_has_the_old_or_the_new_version_whole(tmp_path: Path) -> None:
    url, rng, last, said = url_of(tmp_path), random.Random(4), 0, 0
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


async def test_a_busy_database_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BUSY_TIMEOUT_S", 0)
    store = await MaskStore.open(url_of(tmp_path))
    async with store._engine.begin() as other:
        await other.execute(sqlalchemy.text("insert into mask_content values ('x', 1, 1, 'y')"))
        with pytest.raises(Overloaded, match="busy") as caught:
            await store.put("image", PNGS[0], MASKS[0], 0)
        assert "sqlite" not in str(caught.value)
        assert await store.versions("image") == []
    assert (await store.put("image", PNGS[0], MASKS[0], 0))[1]
    await store.close()


@pytest.mark.parametrize("url", ["sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:"])
async def test_a_store_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="needs a file"):
        await MaskStore.open(url)


def test_the_write_is_plain_enough_for_postgresql() -> None:
    statement = str(store_module._insert_content(PNGS[0], MASKS[0]).compile(dialect=postgresql.asyncpg.dialect()))
    assert "NOT (EXISTS" in statement
    assert "ON CONFLICT" not in statement


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
