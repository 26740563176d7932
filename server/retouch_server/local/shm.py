"""Who owns which region in /dev/shm, and the removal of those that nobody owns any more.

The regions of one owner share a prefix, `retouch-<pid>-<random>-`. Beside them stands `retouch-<pid>-<random>.lock`, which
the owner keeps locked with flock(2) for as long as it lives: the kernel lets go of the lock however the process ends, it
cannot be fooled by a reused process id, and it holds across containers that share /dev/shm.
"""

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

FOLDER = Path("/dev/shm")
NAMESPACE = "retouch-"
_LOCK = ".lock"


class ShmOwner:
    """A prefix for names in /dev/shm that is ours until `release`, or until this process ends in whatever way."""

    def __init__(self) -> None:
        name = f"{NAMESPACE}{os.getpid()}-{secrets.token_hex(4)}"
        self.prefix = f"{name}-"
        self._lock = FOLDER / f"{name}{_LOCK}"
        # Locked before it bears the name by which a sweeper knows it.
        unnamed = FOLDER / f".{name}"
        self._descriptor = os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        unnamed.rename(self._lock)

    def release(self) -> None:
        """Remove all regions with the prefix. May be called again."""
        if self._descriptor < 0:
            return
        remove_regions(self.prefix)
        self._lock.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1


def remove_regions(prefix: str) -> None:
    """Remove every name in /dev/shm that begins with `prefix`. Memory that is still mapped goes with the last mapping."""
    for path in FOLDER.glob(f"{prefix}*"):
        path.unlink(missing_ok=True)


def sweep() -> list[str]:
    """Remove the regions of owners that are gone; the prefixes that were swept.

    Regions of other users, whose lock may not be opened, are left alone.
    """
    swept: list[str] = []
    for lock in FOLDER.glob(f"{NAMESPACE}*{_LOCK}"):
        with contextlib.suppress(OSError):
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                prefix = f"{lock.name.removesuffix(_LOCK)}-"
                remove_regions(prefix)
                lock.unlink(missing_ok=True)
                swept.append(prefix)
            finally:
                os.close(descriptor)
    return swept
