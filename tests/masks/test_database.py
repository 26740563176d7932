"""A database that cannot be used, is away, or comes back: told as what it is, at the start and while serving."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy

from retouch_server.errors import MasksUnavailable, VersionConflict
from retouch_server.imaging.mask import Mask
from retouch_server.masks import database as database_module
from retouch_server.masks.database import DatabaseUnreachableError, DatabaseUrlError
from retouch_server.masks.store import MaskStore
from tests.support.postgres import Cluster
from tests.support.processes import free_port

MASK = Mask.full(4, 6, 255)
PNG = MASK.to_png()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite+aiosqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("masks.sqlite", "names no database"),
        ("nosuch://user:s3cret@host/db", "names no database"),
        ("postgresql+asyncpg://user:s3cret@host:port/db", "names no database"),
        ("mysql://user:s3cret@host/db", "mysql"),
        ("postgresql+psycopg2://user:s3cret@host/db", "psycopg2"),
    ],
)
async def test_a_url_that_cannot_be_used_is_refused(url: str, told: str) -> None:
    with pytest.raises(DatabaseUrlError, match=told) as caught:
        await MaskStore.open(url)
    assert "s3cret" not in str(caught.value)


async def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(DatabaseUrlError, match=r"asyncpg.*pip install 'retouch-server\[postgres\]'"):
        await MaskStore.open("postgresql://user:s3cret@host/db")


async def test_a_database_that_is_away_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for url in (f"postgresql://user:s3cret@127.0.0.1:{free_port()}/db", f"sqlite:///{tmp_path}/file/masks.sqlite"):
        with pytest.raises((DatabaseUnreachableError, OSError)) as caught:
            await MaskStore.open(url)
        assert "s3cret" not in str(caught.value)


async def test_a_file_that_is_no_database_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "masks.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(DatabaseUnreachableError, match="not a database"):
        await MaskStore.open(f"sqlite:///{tmp_path}/masks.sqlite")


async def test_a_database_that_is_not_there_is_named(cluster: Cluster) -> None:
    with pytest.raises(DatabaseUnreachableError, match='"nowhere" does not exist'):
        await MaskStore.open(cluster.url("nowhere"))


@pytest.mark.parametrize(
    ("url", "exit_code", "told"),
    [("postgresql://user:s3cret@127.0.0.1:1/db", 1, "cannot be used"), ("mask.db", 2, "names no database")],
)
async def test_the_server_says_so_and_leaves(url: str, exit_code: int, told: str) -> None:
    settings = {
        "RETOUCH_MASK_STORE": url,
        "RETOUCH_PORT": "0",
        "RETOUCH_METRICS_PORT": "0",
        "RETOUCH_TRITON_URLS": "127.0.0.1:1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "retouch_server", env=os.environ | settings, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    text = said.decode()
    assert process.returncode == exit_code, text
    assert text.splitlines()[-1].startswith("retouch-server: ")
    assert told in text
    assert "Traceback" not in text
    assert "s3cret" not in text


async def test_a_busy_database_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_S", 0)
    store = await MaskStore.open(f"sqlite:///{tmp_path}/masks.sqlite")
    async with store.database.engine.begin() as other:
        await other.execute(sqlalchemy.text("insert into mask_content values ('x', 1, 1, 'y')"))
        with pytest.raises(MasksUnavailable, match="does not answer") as caught:
            await store.put("image", PNG, MASK, 0)
        assert "sqlite" not in str(caught.value)
        assert caught.value.retry_after_s > 0
        assert await store.versions("image") == []
    assert (await store.put("image", PNG, MASK, 0))[1]
    await store.close()


async def test_a_database_that_crashes_and_comes_back(cluster: Cluster) -> None:
    store = await MaskStore.open(await cluster.emptied())
    assert (await store.put("image", PNG, MASK, 0))[1]
    cluster.stop(signal.SIGQUIT)  # as after a crash: connections break, and it recovers from its log
    try:
        for attempt in (store.versions("image"), store.pin("image"), store.put("image", PNG, MASK, 1), store.prune()):
            with pytest.raises(MasksUnavailable) as caught:
                await attempt
            assert "127.0.0.1" not in str(caught.value)
    finally:
        cluster.start()
    assert [stored.version for stored in await store.versions("image")] == [1]
    other = Mask.full(4, 6, 1)
    assert (await store.put("image", other.to_png(), other, 1))[0].version == 2
    with pytest.raises(VersionConflict):
        await store.put("image", PNG, MASK, 1)
    await store.close()


async def test_a_connection_that_the_database_ends_is_replaced(cluster: Cluster) -> None:
    store = await MaskStore.open(await cluster.emptied())
    assert (await store.put("image", PNG, MASK, 0))[1]
    other = await MaskStore.open(cluster.url())
    async with other.database.engine.begin() as connection:
        ended = sqlalchemy.text("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
        await connection.execute(ended)
    assert (await store.pin("image")).version == 1
    await store.close()
    await other.close()


async def test_collisions_are_tried_again(cluster: Cluster) -> None:
    """Two transactions that wait for each other: the database ends one of them, which then runs once more."""
    store = await MaskStore.open(await cluster.emptied())
    both_hold = asyncio.Barrier(2)
    runs: list[str] = []

    async def lock(first: int, second: int) -> str:
        async def work(connection: sqlalchemy.ext.asyncio.AsyncConnection) -> str:
            runs.append("run")
            await connection.execute(sqlalchemy.text(f"select pg_advisory_xact_lock({first})"))
            if len(runs) <= 2:
                await both_hold.wait()
            await connection.execute(sqlalchemy.text(f"select pg_advisory_xact_lock({second})"))
            return "done"

        return await store.database.run(work)

    assert await asyncio.gather(lock(1, 2), lock(2, 1)) == ["done", "done"]
    assert len(runs) == 3
    await store.close()
