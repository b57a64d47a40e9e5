"""A window that spends only what was lent, and says what became of it."""

from __future__ import annotations

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
