"""What others use of the same quota."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.foreign_use import ForeignUse

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW, LIMIT = 60.0, 100
Taken = list[tuple[float, int]]


def sliding(taken: Taken, now: float) -> float:
    return sum(units for at, units in taken if at > now - WINDOW)


def fixed(taken: Taken, now: float) -> float:
    return sum(units for at, units in taken if at // WINDOW == now // WINDOW)


def bucket(taken: Taken, now: float) -> float:
    used, last = 0.0, 0.0
    for at, units in [*taken, (now, 0)]:
        used = max(0.0, used - (at - last) * LIMIT / WINDOW) + units
        last = at
    return used


@pytest.mark.parametrize("used", [sliding, fixed, bucket])
@given(
    steps=st.lists(st.tuples(st.floats(0.0, 20.0), st.integers(1, 30)), max_size=60),
    rounding=st.sampled_from([1, 10]),
)
def test_nobody_is_seen_who_is_not_there(
    used: Callable[[Taken, float], float], steps: list[tuple[float, int]], rounding: int
) -> None:
    foreign, now = ForeignUse(WINDOW), 0.0
    taken: Taken = []
    for seconds, units in steps:
        now += seconds
        if used(taken, now) + units <= LIMIT:
            taken.append((now, units))
        left = round((LIMIT - used(taken, now)) / rounding) * rounding
        foreign.observe(LIMIT, left, (rounding + 1) // 2, int(sliding(taken, now)), now)
        foreign.check()
        assert foreign.used(now) == 0


def test_what_others_used_counts_for_a_window() -> None:
    foreign = ForeignUse(WINDOW)
    foreign.observe(100, 50, 0, 20, 0.0)
    assert foreign.used(0.0) == 30
    foreign.observe(100, 60, 0, 20, 10.0)
    assert foreign.used(59.9) == 30
    assert foreign.used(60.0) == 20, "the largest of the last window"
    foreign.observe(100, 80, 0, 20, 61.0)
    assert foreign.used(69.9) == 20
    assert foreign.used(70.0) == 0
    foreign.check()


def test_more_counts_at_once() -> None:
    foreign = ForeignUse(WINDOW)
    foreign.observe(100, 90, 0, 5, 0.0)
    foreign.observe(100, 50, 0, 5, 1.0)
    assert foreign.used(1.0) == 45
    foreign.check()


def test_of_rounded_figures_the_worst_is_believed_once_somebody_is_seen() -> None:
    foreign = ForeignUse(WINDOW)
    foreign.observe(10_000, 7000, 500, 2500, 0.0)
    assert foreign.used(0.0) == 0, "it may be the rounding"
    foreign.observe(10_000, 7000, 500, 2400, 0.0)
    assert foreign.used(0.0) == 1100


def test_what_they_used_since_a_time_is_the_most_of_what_was_noted_after_it() -> None:
    others = ForeignUse(60.0)
    for at, used in ((1.0, 50), (2.0, 20), (3.0, 30), (4.0, 10)):
        others.note(used, at)
    assert [others.most_since(at) for at in (0.0, 1.0, 1.5, 3.5, 4.5)] == [50, 50, 30, 10, 0]
    others.check()
    others.forget()
    assert others.used(4.0) == others.most_since(0.0) == 0
