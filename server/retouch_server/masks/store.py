"""The registry of masks in a database: SQLite in a file, or PostgreSQL for many replicas, by the same statements.

Two tables: `mask_version` (image id, version → content) and `mask_content` (digest and size → PNG), so that equal masks are
stored once, as the PNG that came first.

How a write is decided, on either database: one transaction puts the content, reads the current version, compares, and
inserts the next one. The primary key (image id, version) lets one of two such transactions win; the other gets an
IntegrityError, begins again, and now sees the winner. The content goes first, so that SQLite takes its write lock
before anything is read and a transaction never has to be refused halfway (SQLITE_BUSY_SNAPSHOT).
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Select,
    String,
    Table,
    event,
    insert,
    literal,
    select,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from retouch_server.errors import MaskNotFound, Overloaded, StaleMask, VersionConflict
from retouch_server.imaging.mask import Mask
from retouch_server.masks.registry import StoredMask

MAX_VERSION = 2**63 - 1
BUSY_TIMEOUT_S = 30
_ATTEMPTS = 8  # of a write; the second already sees whoever won, the rest is for contents that race too
_RETRY_AFTER_S = 1.0

_metadata = MetaData()
_content = Table(
    "mask_content",
    _metadata,
    Column("digest", String(64), primary_key=True),
    Column("height", Integer, primary_key=True, autoincrement=False),
    Column("width", Integer, primary_key=True, autoincrement=False),
    Column("png", LargeBinary, nullable=False),
)
_version = Table(
    "mask_version",
    _metadata,
    Column("image_id", String(200), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("height", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),  # since 1970, UTC: the same number in every database
    ForeignKeyConstraint(["digest", "height", "width"], [_content.c.digest, _content.c.height, _content.c.width]),
)


class MaskStore:
    """A MaskRegistry in a database. `open` it, share it, `close` it.

    Errors of every method, beside those of the protocol: Overloaded when the database is busy or away.
    """

    def __init__(self, engine: AsyncEngine, now: Callable[[], float] = time.time) -> None:
        """Prefer `open`. `now` gives seconds since 1970."""
        self._engine, self._now = engine, now

    @classmethod
    async def open(cls, url: str, now: Callable[[], float] = time.time) -> Self:
        """Connect, and make the tables where they are missing.

        `url` is SQLAlchemy's: `sqlite+aiosqlite:///path/to/masks.db` (the folder is made) or, with a driver installed,
        `postgresql+asyncpg://…`. Not an in-memory SQLite: its connections would each see another database.
        Errors: ValueError for such a URL.
        """
        parsed = make_url(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        if is_sqlite:
            if parsed.database in (None, "", ":memory:"):
                raise ValueError("the mask store needs a file: sqlite+aiosqlite:///path/to/masks.db")
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
        engine = create_async_engine(parsed, pool_pre_ping=not is_sqlite)
        if is_sqlite:
            event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        try:
            await _create_tables(engine)
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine, now)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    async def put(self, image_id: str, png: bytes, mask: Mask, expected_version: int) -> tuple[StoredMask, bool]:
        """See MaskRegistry.put."""
        for attempt in range(_ATTEMPTS):
            try:
                async with self._transaction() as connection:
                    return await self._write(connection, image_id, png, mask, expected_version)
            except IntegrityError:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def get(self, image_id: str, version: int = 0) -> tuple[StoredMask, bytes]:
        """See MaskRegistry.get."""
        found = await self._read(image_id, version) if version <= MAX_VERSION else None
        if found is None:
            raise MaskNotFound(image_id, version)
        return found

    async def versions(self, image_id: str, before: int = 0, limit: int = 100) -> list[StoredMask]:
        """See MaskRegistry.versions."""
        query = _newest_first(image_id).limit(limit)
        if before:
            query = query.where(_version.c.version < min(before, MAX_VERSION))
        async with self._transaction() as connection:
            return [_stored(row) for row in await connection.execute(query)]

    async def pin(self, image_id: str, version: int = 0, digest: str = "") -> tuple[StoredMask, bytes]:
        """See MaskRegistry.pin."""
        stored, png = await self.get(image_id)
        if version not in (0, stored.version) or digest.lower() not in ("", stored.digest):
            raise StaleMask(
                image_id,
                named_version=version,
                named_digest=digest,
                current_version=stored.version,
                current_digest=stored.digest,
            )
        return stored, png

    async def _write(
        self, connection: AsyncConnection, image_id: str, png: bytes, mask: Mask, expected_version: int
    ) -> tuple[StoredMask, bool]:
        await connection.execute(_insert_content(png, mask))
        row = (await connection.execute(_newest_first(image_id).limit(1))).first()
        current = None if row is None else _stored(row)
        current_version = current.version if current else 0
        if current_version != expected_version:
            raise VersionConflict(image_id, expected_version=expected_version, current_version=current_version)
        if current and current.shows(mask):
            return current, False
        values: dict[str, Any] = {
            "image_id": image_id,
            "version": current_version + 1,
            "digest": mask.digest,
            "height": mask.height,
            "width": mask.width,
            "created_us": round(self._now() * 1e6),
        }
        await connection.execute(insert(_version).values(values))
        created = datetime.fromtimestamp(values["created_us"] / 1e6, UTC)
        return StoredMask(image_id, current_version + 1, mask.digest, mask.height, mask.width, created), True

    async def _read(self, image_id: str, version: int) -> tuple[StoredMask, bytes] | None:
        """One statement, so that the version and its pixels belong together."""
        content = (
            (_version.c.digest == _content.c.digest)
            & (_version.c.height == _content.c.height)
            & (_version.c.width == _content.c.width)
        )
        query = _newest_first(image_id).join_from(_version, _content, content).add_columns(_content.c.png).limit(1)
        if version:
            query = query.where(_version.c.version == version)
        async with self._transaction() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else (_stored(row), bytes(row.png))

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[AsyncConnection]:
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (OperationalError, PoolTimeoutError) as error:
            raise Overloaded("the store of masks is busy; try again", _RETRY_AFTER_S) from error


async def _create_tables(engine: AsyncEngine) -> None:
    """Replicas that start together may both find a table missing; the second look then finds it."""
    for attempt in range(2):
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_metadata.create_all)
        except DBAPIError:
            if attempt:
                raise
        else:
            return


def _set_up_sqlite(connection: Any, _: object) -> None:
    """Readers beside one writer (WAL), waiting for each other, and the foreign key kept. Synced to disk at each commit."""
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_S * 1000}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _insert_content(png: bytes, mask: Mask) -> Any:
    """Insert unless it is there, in words that every database knows."""
    key = (_content.c.digest == mask.digest) & (_content.c.height == mask.height) & (_content.c.width == mask.width)
    values = select(literal(mask.digest), literal(mask.height), literal(mask.width), literal(png, LargeBinary)).where(
        ~select(_content.c.digest).where(key).exists()
    )
    return insert(_content).from_select(["digest", "height", "width", "png"], values)


def _newest_first(image_id: str) -> Select[Any]:
    return select(_version).where(_version.c.image_id == image_id).order_by(_version.c.version.desc())


def _stored(row: Row[Any]) -> StoredMask:
    created = datetime.fromtimestamp(row.created_us / 1e6, UTC)
    return StoredMask(row.image_id, row.version, row.digest, row.height, row.width, created)
