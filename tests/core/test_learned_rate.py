"""A limit that is learned from what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.learned_rate import LearnedRate

WINDOW = 60.0


def grow(rate: LearnedRate, windows: float, now: float, *, used: float = 1.0, known: int | None = None) -> float:
    """Let time pass, with that part of the limit used."""
    end = now + windows * WINDOW
    while now < end:
        now += 1.0
        rate.grow(int(used * (rate.limit or 0)) + 1, now, known=known)
    return now


def test_before_a_refusal_nothing_is_known() -> None:
    rate = LearnedRate(WINDOW)
    rate.grow(100, 50.0)
    assert rate.limit is None


def test_the_first_refusal_leaves_a_little_less_than_was_accepted_and_then_it_grows_fast() -> None:
    rate = LearnedRate(WINDOW)
    rate.cut(100, 0.0)
    assert rate.limit == 90.0
    grow(rate, 1, 0.0)
    assert rate.limit > 500.0, "a server that counts by the second takes sixty times as much in a minute"


def test_after_the_second_it_comes_back_quickly_to_below_the_bound_and_slowly_beyond() -> None:
    rate = LearnedRate(WINDOW)
    rate.cut(100, 0.0)
    now = grow(rate, 1, 0.0)
    bound = rate.limit
    assert bound is not None
    rate.cut(0, now)
    assert rate.limit == pytest.approx(0.9 * bound)
    now = grow(rate, 0.5, now)
    assert 0.97 * bound <= rate.limit <= bound
    now = grow(rate, 1, now)
    assert rate.limit <= 1.02 * bound, "and from there slowly"
    now = grow(rate, 2, now)
    assert rate.limit > 1.02 * bound
    grow(rate, 2, now)
    assert rate.limit > 1.3 * bound, "and when nothing is refused there it goes on faster"


def test_it_does_not_grow_while_it_is_not_used() -> None:
    rate = LearnedRate(WINDOW)
    rate.cut(100, 0.0)
    grow(rate, 5, 0.0, used=0.5)
    assert rate.limit == 90.0


def test_what_is_left_and_too_little_for_a_call_that_waits_counts_as_used() -> None:
    rate = LearnedRate(WINDOW)
    rate.cut(57, 0.0)
    assert rate.limit == pytest.approx(51.3)
    rate.grow(39, 10.0)
    rate.grow(39, 20.0, lacking=12)
    assert rate.limit == pytest.approx(51.3), "there is room for it"
    rate.grow(39, 30.0, lacking=13)
    assert rate.limit > 60.0


def test_a_limit_that_is_known_is_where_it_ends() -> None:
    rate = LearnedRate(WINDOW)
    rate.cut(50, 0.0, known=100)
    assert rate.limit == 90.0, "it was refused where the limit is said to be"
    grow(rate, 10, 0.0, known=100)
    assert rate.limit is None
    rate.cut(50, 0.0, known=100)
    rate.forget()
    assert rate.limit is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10_000), st.floats(0.0, 30.0)), max_size=80))
def test_there_is_always_something_left_and_a_cut_is_a_cut(steps: list[tuple[bool, int, float]]) -> None:
    rate, now = LearnedRate(WINDOW), 0.0
    for cut, units, seconds in steps:
        now += seconds
        before = rate.limit
        if cut:
            rate.cut(units, now)
            assert rate.limit is not None
            assert before is None or rate.limit == max(1.0, 0.9 * before)
        else:
            rate.grow(units, now)
            assert before is None or rate.limit is None or rate.limit >= before
        rate.check()
