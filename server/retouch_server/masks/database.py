"""A database reached through SQLAlchemy, SQLite or PostgreSQL: how it is opened, and what a transaction is.

The statements that run here are the same for both; this module knows all that is not: drivers, timeouts, and how each of
them says that two transactions collided or that it is away.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Index, MetaData, event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateIndex, CreateTable

from retouch_server.errors import MasksUnavailable

_T = TypeVar("_T")

BUSY_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 30
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgres": "postgresql+asyncpg", "postgresql": "postgresql+asyncpg"}
_ATTEMPTS = 8  # of a transaction; the second already sees whoever won, the rest is for others that collide meanwhile
_COLLISIONS = ("40001", "40P01")  # SQLSTATE: serialization failure, deadlock
_RETRY_AFTER_S = 1.0


class DatabaseUrlError(ValueError):
    """The URL names no database that can be used; the message says why, without the password."""


class DatabaseUnreachableError(ConnectionError):
    """The database does not answer, or does not let us in; the message says why, without the password."""


class Database:
    """Connections to one database, shared by everything on one event loop."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Prefer `open`."""
        self.engine = engine

    @classmethod
    async def open(cls, url: str, metadata: MetaData) -> Self:
        """Connect, and make the tables and indices of `metadata` where they are missing.

        `url` is SQLAlchemy's; the driver may be left out. A folder for SQLite's file is made. Not an in-memory SQLite: its
        connections would each see another database. Errors: DatabaseUrlError, DatabaseUnreachableError.
        """
        parsed = _parse(url)
        shown = parsed.render_as_string(hide_password=True)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"connect_args": {"timeout": CONNECT_TIMEOUT_S, "command_timeout": STATEMENT_TIMEOUT_S}}
        if is_sqlite:
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
            options = {}
        try:
            engine = create_async_engine(parsed, pool_pre_ping=not is_sqlite, **options)
        except ModuleNotFoundError as error:
            hint = "; pip install 'retouch-server[postgres]'" if error.name == "asyncpg" else ""
            raise DatabaseUrlError(f"{shown} needs the Python package {error.name}{hint}") from error
        if is_sqlite:
            event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        try:
            await _create(engine, metadata)
        except (DBAPIError, OSError) as error:
            await engine.dispose()
            cause = error.orig if isinstance(error, DBAPIError) else error
            raise DatabaseUnreachableError(f"the database {shown} cannot be used: {cause or type(cause).__name__}") from error
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine)

    async def run(self, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
        """`work` in one transaction: all of it happens, or nothing. It runs again where it collided with another one.

        Errors: MasksUnavailable when the database is busy or away; whatever was asked of it may then have happened.
        """
        cause: Exception | None = None
        for _ in range(_ATTEMPTS):
            try:
                async with self.engine.begin() as connection:
                    return await work(connection)
            except (ProgrammingError, DataError):  # ours
                raise
            except (DBAPIError, PoolTimeoutError, OSError) as error:  # OSError: asyncpg's, of a connection that fails
                cause = error
                if not _is_collision(error):
                    break
        raise MasksUnavailable("the store of masks does not answer; try again", _RETRY_AFTER_S) from cause

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def _parse(text: str) -> URL:
    """The URL with its driver. Errors: DatabaseUrlError."""
    try:
        url = make_url(text)
        url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise DatabaseUrlError(
            "the URL names no database; use sqlite:///path/to/masks.sqlite or postgresql://user:password@host/database"
        ) from None
    if url.drivername not in _DRIVERS.values():
        raise DatabaseUrlError(
            f"the driver {url.drivername} is not supported; there are {', '.join(sorted(set(_DRIVERS.values())))}"
        )
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise DatabaseUrlError("SQLite needs a file: sqlite:///path/to/masks.sqlite")
    return url


async def _create(engine: AsyncEngine, metadata: MetaData) -> None:
    """Replicas may start together: SQLite decides under its write lock whether a table is missing, where looking first and
    creating later lets another come between; PostgreSQL's own look can still collide, and the next attempt then finds all.
    """
    for attempt in range(_ATTEMPTS):
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_create_all, metadata)
        except DBAPIError:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def _create_all(connection: Connection, metadata: MetaData) -> None:
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in sorted(table.indexes, key=_name):
            connection.execute(CreateIndex(index, if_not_exists=True))


def _name(index: Index) -> str:
    return str(index.name)


def _is_collision(error: Exception) -> bool:
    """Whether another transaction came between: it may have inserted the same key, or removed what a key refers to."""
    return isinstance(error, IntegrityError) or (
        isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _COLLISIONS
    )


def _set_up_sqlite(connection: Any, _: object) -> None:
    """Readers beside one writer (WAL), waiting for each other, and the foreign key kept. Synced to disk at each commit."""
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_S * 1000}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
