from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.missed_ticks import MOST_BURST, Missed, Ticks, ticks_due

POLICIES: list[Missed] = ["skip", "once", "burst"]


@pytest.mark.parametrize("missed", POLICIES)
def test_a_tick_in_its_own_period_is_one_call(missed: Missed) -> None:
    assert ticks_due(10, 10, 5, missed) == Ticks(1, 0, 15)
    assert ticks_due(10, 14, 5, missed) == Ticks(1, 0, 15)


@pytest.mark.parametrize(("missed", "calls", "left_out"), [("skip", 1, 3), ("once", 2, 2), ("burst", 4, 0)])
def test_ticks_that_were_missed_follow_the_policy(missed: Missed, calls: int, left_out: int) -> None:
    assert ticks_due(10, 45, 10, missed) == Ticks(calls, left_out, 50)


def test_a_burst_has_an_end() -> None:
    assert ticks_due(0, 10**12, 1, "burst") == Ticks(1 + MOST_BURST, 10**12 - MOST_BURST, 10**12 + 1)


@given(
    due=st.integers(0, 10**15),
    late=st.integers(0, 10**13),
    period=st.integers(1, 10**12),
    missed=st.sampled_from(POLICIES),
)
def test_ticks_stay_on_their_grid_and_each_is_made_or_left_out(
    due: int, late: int, period: int, missed: Missed
) -> None:
    now = due + late
    calls, left_out, next_due = ticks_due(due, now, period, missed)
    assert (next_due - due) % period == 0
    assert next_due - period <= now < next_due
    assert calls >= 1
    assert left_out >= 0
    assert calls + left_out == 1 + late // period
