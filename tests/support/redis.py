"""A Redis of our own, on a free port of the loopback interface, that keeps nothing on disk."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import free_port

PROGRAM = shutil.which("redis-server")


@dataclass
class RedisServer:
    """A running server. `pause` lets it hang, as on a machine that swaps; `kill` ends it at once."""

    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def redis_server(port: int | None = None, **settings: str) -> Generator[RedisServer]:
    """Errors: RuntimeError where it is not installed or does not start."""
    if PROGRAM is None:
        raise RuntimeError("Redis is not installed")
    port = free_port() if port is None else port
    options = {"bind": "127.0.0.1", "port": str(port), "save": "", "appendonly": "no", **settings}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    with tempfile.TemporaryDirectory(prefix="retouch-redis-") as folder, (Path(folder) / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, *words], stdout=log, stderr=log, cwd=folder)
        try:
            deadline_s = time.monotonic() + 20
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline_s:
                    raise RuntimeError(f"Redis did not start: {(Path(folder) / 'log').read_text()[-2000:]}")
                time.sleep(0.02)
            yield RedisServer(port, process)
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
    except OSError:
        return False
