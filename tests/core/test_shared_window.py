"""A window that spends only what was lent, and says what became of it."""

from __future__ import annotations

import pytest

from tenire.core.quota_loans import LOAN_S
from tenire.core.shared_window import SharedWindow


def test_what_was_said_to_be_spent_is_put_right_for_all() -> None:
    meter = SharedWindow(1000, 60.0, 0.5)
    meter.borrower.lent(500, 1.0, None, 0)
    meter.take(500, meter.refill(0, 0.0), 0.0)
    meter.hold(500, 0.0)
    meter.stamp(500, 0.1)
    assert meter.borrower.ask(0.2)[0] == [(0.1, 500)]
    assert meter.correct(0.1, 500, spent=300) == 200
    assert meter.borrower.ask(0.4)[0] == [(0.1, -200)]
    assert meter.spent(1.0) == 300


def test_without_a_limit_nothing_is_said() -> None:
    meter = SharedWindow(None, 60.0, 0.5)
    meter.take(500, meter.refill(0, 0.0), 0.0)
    meter.hold(500, 0.0)
    meter.stamp(500, 0.0)
    assert meter.correct(0.0, 500, spent=300) == 200
    assert meter.borrower.ask(0.4)[0] == []


def test_what_may_go_next_is_asked_for_whole() -> None:
    window = SharedWindow(6000)
    window.lacked(900)
    window.borrower.want(2000, 10, 900)
    assert window.borrower.least == 900


def test_the_first_in_the_row_may_know_when_its_turn_comes() -> None:
    window = SharedWindow(6000)
    window.borrower.lent(100, 1.0, None, 1)
    assert window.ready_at(100, 100, 0.5) == 0.5
    window.lacked(900)
    window.lacked(300, first=False)
    window.borrower.want(2000, 10, 900)
    assert (window.borrower.first, window.borrower.least) == (900, 300)
    window.borrower.lent(0, 1.5, None, 1, first_at=20.0)
    assert window.ready_at(900, 100, 0.5) == 20.0
    assert window.ready_at(300, 100, 0.5) == 0.5 + LOAN_S
    window.borrower.take(100)
    assert window.borrower.first == 0


def test_calls_are_spread_by_the_part_that_others_leave() -> None:
    meter = SharedWindow(600, 60.0, 0.5)
    meter.borrower.lent(600, 1000.0, None, 1)

    def taken(seconds: float, start: float) -> int:
        count, now = 0, start
        while now < start + seconds:
            if meter.refill(0, now) >= 1:
                meter.take(1, 1, now)
                count += 1
            now += 0.01
        return count

    meter.spread(300)
    assert taken(10.0, 100.0) == pytest.approx(330 * (10.0 + 6.0) / 60.0, abs=2)  # the credit included
    assert taken(10.0, 110.0) == pytest.approx(330 * 10.0 / 60.0, abs=2)  # and a tenth more than the part
    meter.spread(None)
    assert taken(10.0, 120.0) == pytest.approx(600 * 10.0 / 60.0, abs=2)
    meter.spread(300)
    meter.set_limit(60)  # less than the part
    assert meter.pace == 60
    meter.spread(0)
    assert meter.pace == 1
