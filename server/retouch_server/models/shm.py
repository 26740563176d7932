"""Shared memory between the orchestrator and a Triton on the same host."""

import contextlib
import math
import os
import secrets
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import cast

import numpy as np

from retouch_server.models.backend import Array
from retouch_server.telemetry.metrics import Metrics

FOLDER = Path("/dev/shm")
NAME_PREFIX = "retouch-io-"
_GRAIN = 1 << 16
_MOST_FREE = 16


class Region:
    """A piece of shared memory. Its creator unlinks it; should the process be killed, Python's resource tracker does."""

    def __init__(self, size: int) -> None:
        """Errors: OSError when no shared memory is left (a container's /dev/shm has 64 MiB by default)."""
        self.memory = SharedMemory(name=f"{NAME_PREFIX}{secrets.token_hex(8)}", create=True, size=size)
        try:
            _allocate(self.memory.name, size)
        except OSError:
            self.destroy()
            raise
        self.size = size
        self.is_registered = False
        """Whether the server that it is for knows it."""

    @property
    def name(self) -> str:
        return self.memory.name

    def view(self, offset: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
        """An array over the bytes from `offset` on. It must be gone before the region is closed."""
        # np.frombuffer keeps the buffer exported, np.ndarray(buffer=…) does not: closing under a view would unmap its pages.
        flat: Array = np.frombuffer(cast(memoryview, self.memory.buf), dtype, math.prod(shape), offset)
        return flat.reshape(shape)

    def destroy(self) -> None:
        """Unlinks it; the memory goes once nobody maps it."""
        self.memory.unlink()
        with contextlib.suppress(BufferError):  # a view of an abandoned call is still alive; the mapping goes with it
            self.memory.close()


def _allocate(name: str, size: int) -> None:
    """Takes the pages now: without, a full /dev/shm would end the process with SIGBUS at the first write to a page."""
    descriptor = os.open(FOLDER / name, os.O_RDWR)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


class Arena:
    """Regions for one server, to borrow; few sizes are in use, so that nearly every call finds one that fits."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        """metrics: where the regions of all arenas are counted."""
        self._free: list[Region] = []
        self.in_use = 0
        self._metrics = metrics

    @property
    def free(self) -> int:
        return len(self._free)

    def acquire(self, size: int) -> Region:
        """A region of at least `size` bytes; the caller gives it back with `release` or `discard`. Errors: OSError."""
        fitting = [region for region in self._free if size <= region.size <= 2 * size + _GRAIN]
        if fitting:
            region = min(fitting, key=lambda region: region.size)
            self._free.remove(region)
            self._count(0, 1)
        else:
            region = Region(-(-size // _GRAIN) * _GRAIN)
            self._count(1, 1)
        return region

    def release(self, region: Region) -> Region | None:
        """Gives a region back; returns one to be unregistered and destroyed when there are too many."""
        self._free.append(region)
        is_surplus = len(self._free) > _MOST_FREE
        self._count(-1 if is_surplus else 0, -1)
        return self._free.pop(0) if is_surplus else None

    def discard(self, region: Region) -> None:
        """Gives back a region that somebody may still write to: it is never used again."""
        self._count(-1, -1)
        region.destroy()

    def forget(self) -> None:
        """The server may have been restarted: it knows none of the free regions any more."""
        for region in self._free:
            region.is_registered = False

    def drain(self) -> list[Region]:
        """Takes all free regions out, to be unregistered and destroyed."""
        regions, self._free = self._free, []
        self._count(-len(regions), 0)
        return regions

    def _count(self, slots: int, in_use: int) -> None:
        """Notes how many regions there are more, and how many more of them are lent."""
        self.in_use += in_use
        if self._metrics is not None:
            self._metrics.shared_memory_slots.inc(slots)
            self._metrics.shared_memory_slots_in_use.inc(in_use)
