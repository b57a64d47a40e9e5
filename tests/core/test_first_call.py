from __future__ import annotations

from tenire.core.first_call import ALONE_FOR_S, REFUSED_FOR_S, Entry, FirstCall


def test_one_call_goes_alone_until_it_is_answered() -> None:
    first = FirstCall()
    assert [first.enter(1.0) for _ in range(3)] == [Entry.GO_ALONE, Entry.WAIT, Entry.WAIT]
    assert first.until == 1.0 + ALONE_FOR_S
    first.answered()
    assert first.proven
    assert first.enter(1.1) is Entry.GO


def test_others_go_once_the_first_takes_its_time() -> None:
    first = FirstCall()
    first.enter(1.0)
    assert first.until is not None
    assert first.enter(first.until - 1e-9) is Entry.WAIT
    assert first.enter(first.until) is Entry.GO
    assert not first.proven


def test_a_refusal_is_for_all_for_a_moment_and_then_one_goes_alone_again() -> None:
    first = FirstCall()
    first.enter(1.0)
    first.refused(2.0)
    assert first.is_refused(2.0)
    assert first.enter(2.0 + REFUSED_FOR_S - 1e-9) is Entry.REFUSED
    assert not first.is_refused(2.0 + REFUSED_FOR_S)
    assert [first.enter(2.0 + REFUSED_FOR_S) for _ in range(2)] == [Entry.GO_ALONE, Entry.WAIT]


def test_a_refusal_that_comes_late_counts_too_but_not_after_an_answer() -> None:
    first = FirstCall()
    first.enter(0.0)
    assert first.enter(5.0) is Entry.GO
    first.refused(6.0)
    assert first.enter(6.0) is Entry.REFUSED
    first.answered()
    assert not first.is_refused(6.0)
    first.refused(6.1)
    assert first.enter(6.1) is Entry.GO


def test_a_first_call_without_a_word_leaves_its_place() -> None:
    first = FirstCall()
    first.enter(0.0)
    first.left()
    assert [first.enter(0.1) for _ in range(2)] == [Entry.GO_ALONE, Entry.WAIT]
