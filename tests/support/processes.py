"""What processes hold of the machine."""

import os
import re
import socket
from pathlib import Path


def shared_memory_of(pid: int | None = None) -> set[Path]:
    """The regions of ours that a process maps (this one by default)."""
    maps = Path(f"/proc/{pid or os.getpid()}/maps").read_text()
    return {Path(name) for name in re.findall(r"(/dev/shm/retouch-io-\w+)$", maps, re.MULTILINE)}


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
