"""The registry of masks in a database: SQLite in a file, or PostgreSQL for many replicas, by the same statements.

Two tables: `mask_version` (image id, version → content) and `mask_content` (digest and size → PNG), so that equal masks are
stored once, as the PNG that came first.

How a write is decided, on either database: one transaction puts the content, reads the current version, compares, and
inserts the next one. The primary key (image id, version) lets one of two such transactions win; the other gets an
IntegrityError, begins again, and now sees the winner. The content goes first, so that SQLite takes its write lock
before anything is read and a transaction never has to be refused halfway (SQLITE_BUSY_SNAPSHOT).

Retention removes from the oldest end of a history only, and a content with the last version that shows it; the foreign
key keeps a content that another transaction is just about to show.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Select,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from retouch_server.errors import MaskNotFound, StaleMask, VersionConflict
from retouch_server.imaging.mask import Mask
from retouch_server.masks.database import Database
from retouch_server.masks.registry import Retention, StoredMask

MAX_VERSION = 2**63 - 1

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
    Index("mask_version_content", "digest", "height", "width"),
)
_shown = (
    (_version.c.digest == _content.c.digest) & (_version.c.height == _content.c.height) & (_version.c.width == _content.c.width)
)


class MaskStore:
    """A MaskRegistry in a database. `open` it, share it, `close` it.

    Errors of every method, beside those of the protocol: MasksUnavailable when the database is busy or away.
    """

    def __init__(self, database: Database, retention: Retention, now: Callable[[], float]) -> None:
        """Prefer `open`. `now` gives seconds since 1970."""
        self.database, self._retention, self._now = database, retention, now

    @classmethod
    async def open(cls, url: str, retention: Retention | None = None, now: Callable[[], float] = time.time) -> Self:
        """Connect, and make the tables where they are missing. Errors: those of `Database.open`.

        `url`: `sqlite:///path/to/masks.sqlite` (the folder is made) or `postgresql://user:password@host/database`.
        """
        return cls(await Database.open(url, _metadata), retention or Retention(), now)

    async def close(self) -> None:
        """Close all connections."""
        await self.database.close()

    async def put(self, image_id: str, png: bytes, mask: Mask, expected_version: int) -> tuple[StoredMask, bool]:
        """See MaskRegistry.put."""

        async def write(connection: AsyncConnection) -> tuple[StoredMask, bool]:
            stored, is_new = await self._write(connection, image_id, png, mask, expected_version)
            if is_new:
                await _remove(connection, self._outlived(_version.c.image_id == image_id))
            return stored, is_new

        return await self.database.run(write)

    async def get(self, image_id: str, version: int = 0) -> tuple[StoredMask, bytes]:
        """See MaskRegistry.get."""
        row = None
        if version <= MAX_VERSION:
            # One statement, so that the version and its pixels belong together.
            query = _newest_first(image_id).join_from(_version, _content, _shown).add_columns(_content.c.png).limit(1)
            row = await self._first(query.where(_version.c.version == version) if version else query)
        if row is None:
            raise MaskNotFound(image_id, version)
        return _stored(row), bytes(row.png)

    async def versions(self, image_id: str, before: int = 0, limit: int = 100) -> list[StoredMask]:
        """See MaskRegistry.versions."""
        query = _newest_first(image_id).limit(limit)
        if before:
            query = query.where(_version.c.version < min(before, MAX_VERSION))

        async def read(connection: AsyncConnection) -> list[StoredMask]:
            return [_stored(row) for row in await connection.execute(query)]

        return await self.database.run(read)

    async def pin(self, image_id: str, version: int = 0, digest: str = "") -> StoredMask:
        """See MaskRegistry.pin."""
        row = await self._first(_newest_first(image_id).limit(1))
        if row is None:
            raise MaskNotFound(image_id)
        current = _stored(row)
        if version not in (0, current.version) or digest.lower() not in ("", current.digest):
            raise StaleMask(
                image_id,
                named_version=version,
                named_digest=digest,
                current_version=current.version,
                current_digest=current.digest,
            )
        return current

    async def prune(self) -> int:
        """See MaskRegistry.prune."""

        async def write(connection: AsyncConnection) -> int:
            return await _remove(connection, self._outlived())

        return await self.database.run(write)

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

    def _outlived(self, *within: ColumnElement[bool]) -> ColumnElement[bool] | None:
        """Which versions the retention gives up; never one that no other follows. None: it keeps all."""
        later = _version.alias()
        of_the_image = select(func.max(later.c.version)).where(later.c.image_id == _version.c.image_id)
        rules: list[ColumnElement[bool]] = []
        if self._retention.versions:
            rules.append(_version.c.version <= of_the_image.scalar_subquery() - self._retention.versions)
        if self._retention.seconds:
            # The newest version of those days was current until then: those below it were not any more.
            then_us = round((self._now() - self._retention.seconds) * 1e6)
            rules.append(_version.c.version < of_the_image.where(later.c.created_us <= then_us).scalar_subquery())
        if not rules:
            return None
        outlived = or_(*rules)
        for condition in within:
            outlived &= condition
        return outlived

    async def _first(self, query: Select[Any]) -> Row[Any] | None:
        async def read(connection: AsyncConnection) -> Row[Any] | None:
            return (await connection.execute(query)).first()

        return await self.database.run(read)


async def _remove(connection: AsyncConnection, outlived: ColumnElement[bool] | None) -> int:
    """Removes versions, and the contents that no version shows any more; how many versions."""
    if outlived is None:
        return 0
    gone = delete(_version).where(outlived).returning(_version.c.digest, _version.c.height, _version.c.width)
    rows = (await connection.execute(gone)).all()
    if rows:
        keys = sorted({(row.digest, row.height, row.width) for row in rows})  # in order, so that two removals cannot deadlock
        parameters = [{"a_digest": digest, "a_height": height, "a_width": width} for digest, height, width in keys]
        await connection.execute(_delete_content(), parameters)
    return len(rows)


def _delete_content() -> Any:
    """Delete a content unless a version shows it."""
    key = (
        (_content.c.digest == bindparam("a_digest"))
        & (_content.c.height == bindparam("a_height"))
        & (_content.c.width == bindparam("a_width"))
    )
    return delete(_content).where(key, ~select(_version.c.version).where(_shown).exists())


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
