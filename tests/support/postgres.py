"""A PostgreSQL of our own: a private cluster in a temporary folder, on a free port of the loopback interface."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tests.support.processes import free_port

USER = "retouch"
PROGRAMS = ("initdb", "postgres", "pg_isready")
_UNPRIVILEGED = ("postgres", "nobody")
"""PostgreSQL refuses to run as root: whom it runs as then."""


def binaries() -> Path | None:
    """The folder with PostgreSQL's programs; None where they are not installed. Debian has one per version, off the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    found = shutil.which("initdb")
    folders += [Path(found).resolve().parent] if found else []
    return next((folder for folder in folders if all((folder / name).exists() for name in PROGRAMS)), None)


@dataclass
class Cluster:
    """A running server; everybody on this machine is let in."""

    folder: Path
    binaries: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    async def emptied(self) -> str:
        """The URL of a database with nothing in it: always the same one, emptied, which is faster than another."""
        connection = await asyncpg.connect(self.url())
        try:
            await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        finally:
            await connection.close()
        return self.url()

    def start(self) -> None:
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.folder / "data", *arguments],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=_unprivileged(),
            )
        deadline_s = time.monotonic() + 30
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT disconnects everybody and ends in order; SIGQUIT ends at once, as after a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def answers(self) -> bool:
        probe = [self.binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, check=False).returncode == 0


def _unprivileged() -> str | None:
    """Whom to run as; None: as whoever this is."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(user for user in _UNPRIVILEGED if user in known)


@contextmanager
def cluster() -> Generator[Cluster]:
    """A cluster that runs. Errors: RuntimeError where PostgreSQL is not installed."""
    found = binaries()
    if found is None:
        raise RuntimeError("PostgreSQL is not installed")
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="retouch-postgres-"))
    try:
        if user:
            shutil.chown(folder, user)
        initdb = [found / "initdb", "-D", folder / "data", "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, user=user)
        server = Cluster(folder, found, free_port())
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
