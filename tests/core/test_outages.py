"""Whose fault a failure is."""

from __future__ import annotations

import pytest

from tenire.core.outages import LATELY_S, LATELY_TRIES, LONGEST_DOUBT_S, OFTEN, Blame, Sign

NEVER = float("-inf")


def is_own(
    blame: Blame,
    sign: Sign,
    now: float,
    *,
    took: float = 0.1,
    well_at: float = -1.0,
    answered_at: float = NEVER,
) -> bool:
    return blame.is_the_call_s(sign, now, began=now - took, well_at=well_at, answered_at=answered_at)


@pytest.mark.parametrize(
    ("sign", "well_at", "ago", "own"),
    [
        (Sign.UNREACHED, 99.8, 0.1, False),
        (Sign.UNREACHED, 40.0, 0.1, False),
        (Sign.UNWELL, 99.8, 0.1, True),
        (Sign.UNWELL, 40.0, 0.1, False),
        (Sign.DOUBTFUL, 99.8, LATELY_S + 1, False),  # it was under way when an outage began, or is at fault
        (Sign.DOUBTFUL, 40.0, LATELY_S, True),
        (Sign.DOUBTFUL, 40.0, LATELY_S + 1, False),
    ],
)
def test_a_failure_is_the_call_s_if_others_are_answered(sign: Sign, well_at: float, ago: float, own: bool) -> None:
    assert is_own(Blame(), sign, 100.0, took=0.5, well_at=well_at, answered_at=100.0 - ago) is own


@pytest.mark.parametrize(("sign", "own"), [(Sign.UNREACHED, True), (Sign.UNWELL, False), (Sign.DOUBTFUL, True)])
def test_nobody_is_waited_for_who_has_never_answered_unless_it_says_that_it_is_down(sign: Sign, own: bool) -> None:
    blame = Blame()
    assert is_own(blame, sign, 100.0, well_at=NEVER) is own
    assert not is_own(blame, sign, 200.0, well_at=50.0), "what it was blamed for then is not known to be its own"


@pytest.mark.parametrize("sign", [Sign.UNWELL, Sign.DOUBTFUL])
def test_only_who_began_after_the_last_failure_says_that_the_other_side_is_well(sign: Sign) -> None:
    blame = Blame()
    assert not is_own(blame, sign, 100.0, well_at=9.0, answered_at=50.0)
    assert not is_own(blame, sign, 200.0, well_at=99.0, answered_at=150.0)
    assert is_own(blame, sign, 300.0, well_at=201.0, answered_at=250.0)


def test_what_failed_while_others_were_answered_goes_on_being_its_own_fault() -> None:
    blame = Blame()
    assert not is_own(blame, Sign.DOUBTFUL, 100.0, well_at=99.95)
    assert is_own(blame, Sign.DOUBTFUL, 200.0, well_at=101.0)
    assert is_own(blame, Sign.DOUBTFUL, 10_000.0)


def test_who_alone_is_told_often_that_the_other_side_is_down_is_to_blame_from_then_on() -> None:
    blame = Blame()
    for time in range(10, 10 * OFTEN, 10):
        assert is_own(blame, Sign.UNWELL, float(time), took=2.0, well_at=time - 1.0)
        assert not is_own(blame, Sign.UNWELL, time + 1.0, well_at=time - 1.0)
    assert is_own(blame, Sign.UNWELL, 1000.0, well_at=999.0)
    assert is_own(blame, Sign.UNWELL, 2000.0, well_at=999.0)


def test_what_was_its_own_fault_elsewhere_is_in_no_doubt() -> None:
    blame = Blame()
    blame.settle()
    assert is_own(blame, Sign.DOUBTFUL, 100.0)
    assert not is_own(blame, Sign.UNWELL, 100.0)


@pytest.mark.parametrize(("ago", "own"), [(10.0 * LATELY_TRIES, True), (10.0 * LATELY_TRIES + 1, False)])
def test_what_takes_long_looks_further_back(ago: float, own: bool) -> None:
    assert is_own(Blame(), Sign.DOUBTFUL, 1000.0, took=10.0, answered_at=1000.0 - ago) is own


def test_a_doubt_ends_and_begins_anew_when_somebody_was_answered() -> None:
    blame = Blame()
    assert not is_own(blame, Sign.DOUBTFUL, 100.0)
    assert not is_own(blame, Sign.DOUBTFUL, 99.0 + LONGEST_DOUBT_S)
    assert is_own(blame, Sign.DOUBTFUL, 100.0 + LONGEST_DOUBT_S)
    assert is_own(blame, Sign.DOUBTFUL, 102.0 + LONGEST_DOUBT_S, answered_at=101.0 + LONGEST_DOUBT_S)
    assert not is_own(blame, Sign.DOUBTFUL, 202.0 + LONGEST_DOUBT_S)


def test_who_says_that_it_is_down_is_never_doubted() -> None:
    blame = Blame()
    assert not any(is_own(blame, Sign.UNWELL, float(now)) for now in range(1, 100_000, 1000))
