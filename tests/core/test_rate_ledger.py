"""What was spent lately, against a plain list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.rate_ledger import SLOTS, RateLedger

SPAN = 60.5
WIDTH = SPAN / SLOTS
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add late", "take back"]),
        st.one_of(st.sampled_from([0.0, 1e-9, 0.01, 1.0, 30.0, 60.49, 61.0]), st.floats(0.0, 70.0)),
        st.integers(1, 50),
    ),
    max_size=60,
)


@given(STEPS)
def test_everything_counts_for_the_span_and_at_most_one_slot_longer(steps: list[tuple[str, float, int]]) -> None:
    ledger, now = RateLedger(SPAN), 1e5
    spent: list[list[float]] = []
    for what, seconds, amount in steps:
        now += seconds
        ledger.expire(now)
        if what == "add":
            ledger.add(now, amount)
            spent.append([now, amount])
        elif what == "add late":  # it was spent a little earlier, and is told only now
            at = now - 2.0
            ledger.add(at, amount)
            spent.append([at, amount])
        elif spent:
            entry = spent[amount % len(spent)]
            if now < entry[0] + SPAN:
                assert ledger.take_back(entry[0], int(entry[1])) == entry[1]
                entry[1] = 0
        ledger.expire(now)
        ledger.check()
        least = sum(units for at, units in spent if now < at + SPAN)
        most = sum(units for at, units in spent if now < at + SPAN + WIDTH * 1.001)
        assert least <= ledger.spent <= most
        assert len(ledger.since(0.0)) <= SLOTS + 2


def test_what_was_spent_in_the_last_moment_of_a_slot_counts_for_the_whole_span() -> None:
    ledger, at = RateLedger(SPAN), 1000 * WIDTH
    ledger.add(at - 1e-9, 7)
    ledger.expire(at + SPAN - 1e-3)
    assert ledger.spent == 7
    ledger.expire(at + SPAN)
    assert ledger.spent == 0


@given(STEPS, st.integers(1, 200))
def test_at_the_announced_time_so_much_counts_no_longer_and_before_it_does(
    steps: list[tuple[str, float, int]], amount: int
) -> None:
    ledger, now = RateLedger(SPAN), 1e5
    for _, seconds, units in steps:
        now += seconds
        ledger.expire(now)
        ledger.add(now, units)
    amount = min(amount, ledger.spent)
    if not amount:
        return
    before, at = ledger.spent, ledger.free_at(amount)
    assert at > now
    ledger.expire(at - 1e-6)
    assert ledger.spent > before - amount
    ledger.expire(at)
    assert ledger.spent <= before - amount


def test_what_is_asked_for_beyond_all_that_is_spent_is_free_when_nothing_counts() -> None:
    ledger = RateLedger(SPAN)
    assert ledger.free_at(5) == float("-inf")
    ledger.add(100.0, 3)
    assert ledger.free_at(5) == ledger.free_at(3) == pytest.approx(160.5, abs=WIDTH)


def test_no_more_can_be_taken_back_than_was_added_at_that_time() -> None:
    ledger = RateLedger(SPAN)
    ledger.add(100.0, 3)
    ledger.add(110.0, 4)
    assert ledger.take_back(100.0, 5) == 3
    assert ledger.take_back(105.0, 5) == 0
    assert ledger.spent == 4
    assert ledger.since(0.0) == [(pytest.approx(110.0, abs=WIDTH), 4)]


def test_a_longer_span_holds_for_what_counts_already() -> None:
    ledger = RateLedger(SPAN)
    ledger.add(100.0, 3)
    ledger.span = 70.0
    ledger.expire(169.9)
    assert ledger.spent == 3
    ledger.expire(170.1)
    assert ledger.spent == 0
    ledger.check()


def test_memory_does_not_grow_with_what_is_spent() -> None:
    ledger = RateLedger(1.0)
    for step in range(20_000):
        ledger.expire(step * 1e-4)
        ledger.add(step * 1e-4, 1)
    ledger.check()
    assert len(ledger.since(0.0)) <= SLOTS + 2
    assert ledger.spent == pytest.approx(10_000, rel=0.001)
