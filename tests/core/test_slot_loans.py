"""How many calls at once one engine may make, of those that several share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenire.core.quota_loans import PERIOD_S
from tenire.core.slot_loans import SILENT_S, SlotBorrower


def lend(borrower: SlotBorrower, now: float, more: int, *, retry_at: float | None = None) -> None:
    borrower.ask(now)
    borrower.lent(more, retry_at)


def after_calls(number: int) -> SlotBorrower:
    """Return one that was lent so many slots at 0 s, and has used all of them at once since."""
    borrower = SlotBorrower()
    borrower.waiting = number
    lend(borrower, 0.0, number)
    borrower.waiting = 0
    borrower.use(number)
    borrower.use(-number)
    return borrower


def test_who_wants_nothing_asks_for_nothing() -> None:
    assert SlotBorrower().due_at() is None


def test_who_waits_asks_at_once_and_then_when_it_may_help() -> None:
    borrower = SlotBorrower()
    borrower.waiting = 3
    assert borrower.due_at() == float("-inf")
    assert borrower.ask(1.0) == (0, 3)
    borrower.lent(0, 1.2)
    assert borrower.due_at() == 1.2
    borrower.ask(1.2)
    borrower.lent(0, None)
    assert borrower.due_at() == 1.2 + PERIOD_S


def test_one_call_after_the_other_does_not_ask_for_each() -> None:
    borrower = after_calls(2)
    for now in (0.2, 0.4, 0.6):
        assert borrower.ask(now) == (2, 0)
        borrower.lent(0, None)
        borrower.use(1)
        borrower.use(-1)


def test_who_makes_no_call_between_two_times_of_asking_keeps_nothing_from_others() -> None:
    borrower = after_calls(2)
    assert borrower.ask(0.2) == (2, 0)
    borrower.lent(0, None)
    assert borrower.due_at() == 0.4, "soon, since others may wait"
    assert borrower.ask(0.4) == (0, 0)


def test_what_was_in_use_a_while_ago_goes_back_though_calls_are_made() -> None:
    borrower = after_calls(5)
    for now in (0.5, 1.0, 1.5, 2.0, 2.5):
        borrower.use(1)
        borrower.use(-1)
        kept, _ = borrower.ask(now)
        borrower.lent(0, None)
    assert kept == 1


def test_what_is_in_use_is_told_of_before_silence_means_death() -> None:
    borrower = SlotBorrower()
    borrower.waiting = 1
    lend(borrower, 0.0, 1)
    borrower.waiting = 0
    borrower.use(1)
    due = borrower.due_at()
    assert due is not None
    assert due < SILENT_S


def test_what_is_not_used_goes_back() -> None:
    borrower = SlotBorrower()
    borrower.waiting = 1
    lend(borrower, 0.0, 1)
    borrower.waiting = 0
    assert borrower.due_at() == 0.2
    assert borrower.ask(0.2) == (0, 0)
    borrower.lent(0, None)
    assert borrower.due_at() is None


def test_what_others_should_have_goes_back_as_calls_end() -> None:
    borrower = SlotBorrower()
    borrower.waiting = 9
    lend(borrower, 0.0, 6)
    borrower.use(6)
    assert borrower.ask(1.0) == (6, 9)
    borrower.lent(0, None, back=3)
    assert borrower.slots == 3
    borrower.waiting = 0
    due = borrower.due_at()
    assert due is not None
    assert due < 2.0, "what ends meanwhile is waited for"
    borrower.use(-2)
    assert borrower.ask(1.2)[0] == 4


@given(st.lists(st.tuples(st.sampled_from(["begin", "end", "ask"]), st.integers(0, 5)), max_size=60))
def test_what_is_in_use_is_never_given_back(steps: list[tuple[str, int]]) -> None:
    borrower, now = SlotBorrower(), 0.0
    for what, number in steps:
        if what == "begin" and borrower.in_use < borrower.slots:
            borrower.use(1)
        elif what == "end" and borrower.in_use:
            borrower.use(-1)
        elif what == "ask":
            borrower.waiting = number
            now += 1.0
            keep, more = borrower.ask(now)
            assert keep >= borrower.in_use
            borrower.lent(more, None)
