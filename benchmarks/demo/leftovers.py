"""What a run left behind: processes of its own, and shared memory that nobody uses."""

from pathlib import Path

import psutil

_FOLDER = Path("/dev/shm")
_OURS = ("retouch-", ".retouch-")


def shared_memory() -> frozenset[str]:
    """Names of all regions of Retouch in /dev/shm, whoever's they are."""
    return frozenset(entry.name for entry in _FOLDER.iterdir() if entry.name.startswith(_OURS))


def leftovers(before: frozenset[str]) -> list[str]:
    """A line for each process that this one started and each region beyond those of `before` that no process holds."""
    processes = [f"process {child.pid}: {child.name()}" for child in psutil.Process().children(recursive=True)]
    fresh = shared_memory() - before
    return processes + [f"{_FOLDER / name}" for name in sorted(fresh - _held(fresh))]


def _held(names: frozenset[str]) -> frozenset[str]:
    """Those of `names` that a process maps or has open: another service's, which is none of our business."""
    if not names:
        return names
    held: set[str] = set()
    for process in psutil.process_iter():
        try:
            paths = {entry.path for entry in process.memory_maps()} | {entry.path for entry in process.open_files()}
        except (psutil.Error, OSError):
            continue
        held |= {Path(path).name for path in paths if path.startswith(str(_FOLDER))}
    return names & held
