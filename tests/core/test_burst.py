"""Burst credit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.burst import BURST_S, BurstCredit

MOVES = st.lists(
    st.tuples(st.sampled_from([0, 0.1, 1, 3, 30]), st.sampled_from([0, 0.2, 0.5, 1, 2]), st.sampled_from([0.1, 0.5, 1]))
)


def spent(credit: BurstCredit) -> BurstCredit:
    credit.observe(0.0, fair=0.5)
    credit.held = 1.0
    credit.observe(BURST_S, fair=0.5)
    assert credit.cooling
    return credit


@given(MOVES)
def test_the_credit_follows_what_was_held_and_due_in_each_stretch_of_time(
    moves: list[tuple[float, float, float]],
) -> None:
    burst, now, held, fair = BurstCredit(), 0.0, 0.0, 1.0
    burst.advance(now)
    credit, cooling = BURST_S, False
    for seconds, next_held, next_fair in moves:
        now += seconds
        if held <= fair:
            credit = min(BURST_S, credit + 0.5 * (1 - held / fair) * seconds)
        elif fair < 1:
            credit = max(0.0, credit - (held / fair - 1) * seconds)
        if seconds:
            cooling = credit <= 0 or (cooling and credit < BURST_S / 2)
        assert burst.observe(now, fair=next_fair) == cooling
        burst.held, held, fair = next_held, next_held, next_fair
        burst.check()
        assert burst.credit == pytest.approx(credit)


def test_twice_the_fair_share_lasts_exactly_the_burst() -> None:
    credit = BurstCredit()
    credit.observe(0.0, fair=0.25)
    credit.held = 0.5
    assert not credit.observe(BURST_S - 0.01, fair=0.25)
    assert credit.observe(BURST_S, fair=0.25)


def test_the_cooldown_lasts_until_half_the_credit_is_back() -> None:
    credit = spent(BurstCredit())
    credit.held = 0.0
    assert credit.observe(2 * BURST_S - 0.01, fair=0.5)
    assert not credit.observe(2 * BURST_S, fair=0.5)


def test_holding_the_whole_machine_alone_spends_nothing() -> None:
    credit = BurstCredit()
    credit.observe(0.0, fair=1.0)
    credit.held = 3.0  # all of three resources
    assert not credit.observe(1000.0, fair=0.5)
    assert credit.credit == BURST_S


def test_time_that_stands_still_changes_nothing() -> None:
    credit = spent(BurstCredit())
    before = credit.credit
    assert credit.observe(BURST_S, fair=0.5)
    assert credit.credit == before


def test_the_check_sees_a_credit_out_of_bounds() -> None:
    credit = BurstCredit()
    credit.credit = BURST_S + 1
    with pytest.raises(AssertionError):
        credit.check()
