"""The budget is kept, and what was used longest ago goes first."""

from hypothesis import given
from hypothesis import strategies as st

from retouch_server.cache.lru import Lru

STEPS = st.lists(st.tuples(st.sampled_from(["get", "put"]), st.integers(0, 5), st.integers(0, 12)), max_size=60)


@given(STEPS, st.integers(0, 20))
def test_it_does_what_a_list_does(steps: list[tuple[str, int, int]], budget: int) -> None:
    lru, kept = Lru[int, str](budget), list[tuple[int, str, int]]()  # oldest first
    for number, (what, key, size) in enumerate(steps):
        found = next((entry for entry in kept if entry[0] == key), None)
        if found is not None:
            kept.remove(found)
        if what == "get":
            assert lru.get(key) == (found[1] if found else None)
            kept += [found] if found else []
        else:
            lru.put(key, f"value {number}", size)
            kept += [(key, f"value {number}", size)] if size <= budget else []
            while sum(entry[2] for entry in kept) > budget:
                del kept[0]
        assert (len(lru), lru.nbytes) == (len(kept), sum(entry[2] for entry in kept))
        assert lru.nbytes <= budget
