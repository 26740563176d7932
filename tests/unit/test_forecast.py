"""What edits have left, run forward."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retouch_server.pipeline.forecast import Leg, seconds_until_done

LEGS = st.lists(
    st.builds(Leg, st.sampled_from("xyz"), st.one_of(st.just(0.0), st.floats(0.001, 1000)), st.floats(0, 50)), max_size=4
)


def total_s(*edits: list[Leg]) -> float:
    return sum(leg.seconds for legs in edits for leg in legs)


@given(LEGS)
def test_alone_an_edit_takes_its_own_time(mine: list[Leg]) -> None:
    assert seconds_until_done(mine, [], 4) == pytest.approx(total_s(mine))


@given(LEGS, st.lists(LEGS, max_size=6))
def test_no_second_is_lost(mine: list[Leg], others: list[list[Leg]]) -> None:
    """From the edit's own time on; and not beyond that in which all is done, since the machine never idles."""
    seconds = seconds_until_done(mine, others, 4)
    assert total_s(mine) * (1 - 1e-6) <= seconds <= total_s(mine, *others) * (1 + 1e-6) + 1e-6


def test_two_alike_end_together() -> None:
    assert seconds_until_done([Leg("x", 3.0)], [[Leg("x", 3.0)]], 4) == pytest.approx(6.0)


def test_one_that_has_hardly_begun_hardly_waits_for_one_that_soon_ends() -> None:
    assert seconds_until_done([Leg("x", 30.0)], [[Leg("y", 0.5)]], 4) == pytest.approx(30.5)
    assert seconds_until_done([Leg("x", 0.5)], [[Leg("y", 30.0)]], 4) == pytest.approx(1.0)


def test_one_window_waits_behind_all_that_queue_at_its_model() -> None:
    assert seconds_until_done([Leg("x", 1.0, 1)], [[Leg("x", 30.0, 30)]], 4) == pytest.approx(5.0)
    assert seconds_until_done([Leg("x", 1.0, 1)], [[Leg("y", 30.0, 30)]], 4) == pytest.approx(3.0)


def test_legs_are_gone_one_after_the_other() -> None:
    mine, other = [Leg("x", 2.0), Leg("y", 2.0)], [Leg("y", 3.0), Leg("x", 9.0)]
    assert seconds_until_done(mine, [other], 4) == pytest.approx(8.0)


def test_many_that_end_one_after_the_other_are_not_looked_at_one_by_one() -> None:
    others = [[Leg("x", 0.001 * number)] for number in range(1, 400)]
    assert seconds_until_done([Leg("x", 50.0)], others, 4) == pytest.approx(50.0 + total_s(*others))
