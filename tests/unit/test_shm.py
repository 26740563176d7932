"""Regions are borrowed and given back, and none is left behind."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retouch_server.models.shm import Arena, Region

FOLDER = Path("/dev/shm")


def exists(region: Region) -> bool:
    return (FOLDER / region.name).exists()


def test_what_is_written_is_read_and_nothing_is_left() -> None:
    region = Region(10_000)
    assert exists(region)
    view = region.view(128, (10, 20, 3), np.dtype(np.uint8))
    view[...] = 7
    assert bytes(region.memory.buf[128 : 128 + 600]) == b"\x07" * 600
    del view
    region.destroy()
    assert not exists(region)


def test_a_region_with_a_view_on_it_is_unlinked_all_the_same() -> None:
    region = Region(100)
    view = region.view(0, (100,), np.dtype(np.uint8))
    region.destroy()
    assert not exists(region)
    view[...] = 1  # still mapped: no crash
    del view
    region.memory.close()


def test_a_region_given_back_is_lent_again() -> None:
    arena = Arena()
    first = arena.acquire(100_000)
    arena.release(first)
    assert arena.acquire(90_000) is first
    other = arena.acquire(90_000)
    assert other is not first
    assert (arena.in_use, arena.free) == (2, 0)
    for region in (first, other):
        arena.discard(region)
    assert arena.in_use == 0
    assert not exists(first)
    assert not exists(other)


def test_a_large_region_is_not_lent_for_little() -> None:
    arena = Arena()
    large = arena.acquire(10_000_000)
    arena.release(large)
    small = arena.acquire(1000)
    assert small is not large
    arena.discard(small)
    for region in arena.drain():
        region.destroy()


@given(st.lists(st.tuples(st.sampled_from(["acquire", "release", "discard"]), st.integers(1, 400_000)), max_size=60))
def test_whatever_is_done_every_region_is_accounted_for(steps: list[tuple[str, int]]) -> None:
    arena, lent, seen = Arena(), list[Region](), list[Region]()
    for step, size in steps:
        if step == "acquire":
            region = arena.acquire(size)
            assert region.size >= size
            assert region not in lent
            lent.append(region)
            seen.append(region)
        elif lent:
            region = lent.pop(size % len(lent))
            if step == "discard":
                arena.discard(region)
            elif (surplus := arena.release(region)) is not None:
                surplus.destroy()
        assert arena.in_use == len(lent)
        assert arena.free <= 16
    for region in lent:
        arena.discard(region)
    for region in arena.drain():
        region.destroy()
    assert (arena.in_use, arena.free) == (0, 0)
    assert not any(exists(region) for region in seen)


@pytest.mark.parametrize("size", [1, 65_536, 65_537])
def test_sizes_are_rounded_up(size: int) -> None:
    arena = Arena()
    region = arena.acquire(size)
    assert region.size % 65_536 == 0
    assert region.size - size < 65_536
    arena.discard(region)
