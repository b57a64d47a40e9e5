"""When one engine asks for a part of a quota that it shares with others, and for how much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.quota_loans import LOAN_S, PERIOD_S, Borrower


@pytest.fixture
def borrower() -> Borrower:
    return Borrower(rate=10.0, grain=0.125)


def spend(borrower: Borrower, amount: int, at: float) -> None:
    borrower.take(amount)
    borrower.spend(amount, at)


def lend(borrower: Borrower, now: float, more: int, *, retry_at: float | None = None) -> None:
    borrower.ask(now)
    borrower.lent(more, now + LOAN_S, retry_at, 0)


def test_without_a_loan_nothing_is_free_and_without_a_wish_nothing_is_asked(borrower: Borrower) -> None:
    assert borrower.free(0.0) == 0
    assert borrower.due_at(0.0) is None


def test_what_waits_is_asked_for_at_once(borrower: Borrower) -> None:
    borrower.want(30, 5, 10)
    due = borrower.due_at(100.0)
    assert due is not None
    assert due <= 100.0
    spent, keep, lacking, most = borrower.ask(100.0)
    assert (spent, keep, lacking) == ([], 0, 30)
    assert most == 20, "what is spent at twice the rate before the loan ends"


def test_as_much_as_the_largest_takes_may_be_asked_for(borrower: Borrower) -> None:
    borrower.want(300, 5, 200)
    assert borrower.ask(0.0)[3] == 200
    borrower.lent(60, LOAN_S, None, 0)
    borrower.want(300, 5, 200)
    assert borrower.ask(0.5)[1:] == (60, 240, 140), "no more than the largest together with what it keeps"
    borrower.lacked(200)
    borrower.want(300, 5, 200)
    assert borrower.least == 200
    borrower.want(5, 5, 5)
    assert borrower.least == 5, "the large one waits no longer"
    assert borrower.ask(1.0)[3] == 20


def test_what_is_too_little_for_the_next_is_given_back(borrower: Borrower) -> None:
    borrower.want(300, 5, 200)
    lend(borrower, 0.0, 20)
    borrower.lacked(30)
    borrower.want(300, 5, 200)
    assert borrower.ask(0.5)[1:3] == (0, 300)
    borrower.lent(35, 1.5, None, 0)
    borrower.take(30)
    borrower.want(270, 5, 200)
    assert borrower.least == 5, "nobody knows what is next"
    assert borrower.ask(0.6)[1] == 35, "the rest is enough for the smallest"


def test_what_is_lent_is_free_until_the_loan_ends(borrower: Borrower) -> None:
    lend(borrower, 0.0, 20)
    assert borrower.free(0.5) == 20
    spend(borrower, 15, 0.5)
    assert borrower.free(0.9) == 5
    assert borrower.free(LOAN_S) == 0


def test_what_was_spent_is_said_once_and_the_rest_is_given_back(borrower: Borrower) -> None:
    lend(borrower, 0.0, 20)
    spend(borrower, 15, 0.5)
    assert borrower.ask(LOAN_S)[0] == [(0.5, 15)]
    borrower.lent(0, 2.0, None, 0)
    assert borrower.free(1.5) == 0
    assert borrower.ask(3.0)[0] == []


def test_what_is_held_stays_lent_until_it_is_spent(borrower: Borrower) -> None:
    lend(borrower, 0.0, 20)
    borrower.take(8)
    assert borrower.free(0.1) == 12
    assert borrower.due_at(0.1) == LOAN_S
    spent, keep, _, _ = borrower.ask(LOAN_S)
    assert (spent, keep) == ([], 8)
    borrower.lent(0, 2.0, None, 0)
    assert borrower.free(1.5) == 0
    assert borrower.due_at(1.5) == 2.0, "who holds something must not be forgotten"
    borrower.spend(5, 1.5, held=8)
    assert borrower.ask(2.0)[:2] == ([(1.5, 5)], 0)


def test_what_was_held_is_free_again_while_the_loan_lasts(borrower: Borrower) -> None:
    lend(borrower, 0.0, 20)
    borrower.take(8)
    borrower.take(2)
    borrower.give_back(8)
    assert (borrower.free(0.5), borrower.held) == (18, 2)
    borrower.give_back(2)
    assert (borrower.free(1.5), borrower.held) == (0, 0)


def test_what_was_not_heard_is_said_again(borrower: Borrower) -> None:
    lend(borrower, 0.0, 20)
    spend(borrower, 5, 0.125)
    borrower.ask(0.2)
    spend(borrower, 2, 0.25)
    borrower.failed()
    assert borrower.ask(0.4)[0] == [(0.125, 5), (0.25, 2)]


def test_what_is_spent_at_about_the_same_time_is_said_together_and_not_too_early(borrower: Borrower) -> None:
    lend(borrower, 0.0, 20)
    for at in (0.01, 0.02, 0.13, 0.2):
        spend(borrower, 2, at)
    assert borrower.ask(0.3)[0] == [(0.125, 4), (0.25, 4)]


def test_what_was_spent_without_being_taken_is_said_too(borrower: Borrower) -> None:
    lend(borrower, 0.0, 20)
    spend(borrower, 9, 0.1)
    borrower.ask(0.2)
    borrower.lent(0, 1.2, None, 0)
    borrower.add(4, 0.25)
    assert borrower.ask(0.3)[0] == [(0.25, 4)]


def test_what_is_spent_while_it_asks_is_of_what_it_keeps(borrower: Borrower) -> None:
    lend(borrower, 0.0, 20)
    borrower.want(30, 5, 5)
    _, keep, _, _ = borrower.ask(0.5)
    assert keep == 20
    spend(borrower, 5, 0.52)
    borrower.lent(10, 1.5, None, 0)
    assert borrower.free(0.6) == 25


def test_it_asks_at_most_once_in_a_period_and_not_before_it_may_help(borrower: Borrower) -> None:
    borrower.want(30, 5, 5)
    lend(borrower, 0.0, 0, retry_at=7.0)
    assert borrower.due_at(0.01) == 7.0
    lend(borrower, 7.0, 0, retry_at=7.0)
    assert borrower.due_at(7.01) == 7.0 + PERIOD_S


def test_a_rest_that_helps_nobody_goes_back_when_the_loan_ends(borrower: Borrower) -> None:
    borrower.want(30, 5, 5)
    lend(borrower, 0.0, 3, retry_at=9.0)
    assert borrower.due_at(0.5) == LOAN_S
    _, keep, lacking, _ = borrower.ask(LOAN_S)
    assert (keep, lacking) == (0, 30)


def test_a_loan_in_use_is_renewed_before_it_is_used_up(borrower: Borrower) -> None:
    lend(borrower, 0.0, 20)
    spend(borrower, 5, 0.1)
    assert borrower.due_at(0.2) == LOAN_S, "more than half is left"
    spend(borrower, 6, 0.3)
    due = borrower.due_at(0.31)
    assert due is not None
    assert due <= 0.31
    _, keep, lacking, _ = borrower.ask(0.31)
    assert keep == 9
    assert keep + lacking >= 2 * 11 * LOAN_S / 0.31, "twice as much as at that pace"


def test_who_wants_nothing_more_says_so_when_the_loan_ends_and_is_quiet(borrower: Borrower) -> None:
    lend(borrower, 0.0, 20)
    assert borrower.due_at(0.5) == LOAN_S
    lend(borrower, LOAN_S, 0)
    assert borrower.due_at(5.0) is None


@given(st.lists(st.tuples(st.sampled_from(["want", "spend", "ask", "fail", "wait"]), st.integers(0, 40)), max_size=60))
def test_everything_spent_is_said_exactly_once(steps: list[tuple[str, int]]) -> None:
    borrower = Borrower(rate=10.0)
    now, spent, said = 0.0, 0, 0
    for what, amount in steps:
        if what == "want":
            borrower.want(amount, min(amount, 3), amount)
        elif what == "spend" and borrower.free(now) >= amount > 0:
            spend(borrower, amount, now)
            spent += amount
        elif what in ("ask", "fail"):
            told, keep, lacking, most = borrower.ask(now)
            assert min(keep, lacking, most) >= 0
            if what == "fail":
                borrower.failed()
            else:
                said += sum(units for _, units in told)
                borrower.lent(min(lacking, most), now + LOAN_S, None, 0)
        else:
            now += amount / 20
        assert borrower.free(now) >= 0
    told = borrower.ask(now)[0]
    assert said + sum(units for _, units in told) == spent
