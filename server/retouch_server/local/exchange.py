"""Folders that take each other's place in one step: whoever looks, or comes after a kill, finds one of the two, whole."""

import ctypes
import errno
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

FORMER = "former"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def put(fresh: Path, target: Path) -> None:
    """Moves the folder `fresh` to `target` on the same file system; a folder that was there is then at `fresh`.

    Where the file system cannot exchange two (NFS), there is a moment between two steps in which the one that was there lies
    beside `fresh` under the name FORMER: see `restore`.
    """
    if not target.exists():
        fresh.rename(target)
        return
    try:
        _exchange(fresh, target)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        aside = fresh.with_name(FORMER)
        target.rename(aside)
        fresh.rename(target)
        aside.rename(fresh)


def restore(staging: Path, target: Path) -> None:
    """Puts back what a `put` from `staging` to `target` moved aside before it was killed."""
    if (staging / FORMER).exists() and not target.exists():
        (staging / FORMER).rename(target)


def _exchange(one: Path, other: Path) -> None:
    """renameat2(2) with RENAME_EXCHANGE, which Python does not have."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, "this libc has no renameat2")
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one), None, str(other))


@contextmanager
def locked(folder: Path, *, waits: bool = True) -> Generator[None]:
    """Inside, no other process is inside for the same folder; the end of a process, however it comes, unlocks.

    Errors: BlockingIOError where one is and `waits` is False.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
