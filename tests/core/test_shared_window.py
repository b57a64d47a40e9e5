"""A window that spends only what was lent, and says what became of it."""

from __future__ import annotations

import pytest

from tenire.core.quota_loans import LOAN_S
from tenire.core.rate_report import MetricReport
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


def shared(others: int = 1) -> SharedWindow:
    """Return a window of 1000 units whose engine has sent 100 of them, beside others of this user."""
    meter = SharedWindow(1000, 60.0, 0.5)
    meter.elsewhere(0, others, 0.0)
    meter.borrower.lent(1000, 100.0, None, others)
    meter.take(100, meter.refill(0, 0.0), 0.0)
    return meter


SLACK = 34  # of 1000, what two seconds' worth of loans may hide, and a part of a unit


def test_what_is_left_is_less_by_what_others_use_who_are_not_of_this_user() -> None:
    meter = shared()
    meter.observe(MetricReport(1000, 400), 100, 1.0, 0.5)
    assert meter.ceiling == 1000, "what others of this user have used is not known yet"
    meter.elsewhere(300, 1, 1.1)
    assert meter.for_all(1.1) == meter.ceiling == meter.to_share(1.1) == 1000 - 200 - 10 - SLACK
    meter.borrower.want(900, 900, 900)
    assert meter.to_share(1.1) == 900, "a call that is larger than that goes once nothing counts"
    meter.refill(0, 61.5)
    assert meter.to_share(61.5) == 1000
    meter.check()


def test_what_others_of_this_user_used_while_a_call_was_under_way_is_theirs() -> None:
    meter = shared()
    meter.elsewhere(500, 1, 5.0)
    meter.elsewhere(100, 1, 20.0)
    meter.elsewhere(50, 1, 30.0)
    meter.observe(MetricReport(1000, 400), 100, 31.0, 5.5)  # as it was when the call arrived
    meter.elsewhere(50, 1, 31.1)
    assert meter.ceiling == 1000
    meter.observe(MetricReport(1000, 750), 100, 32.0, 31.9)
    meter.elsewhere(50, 1, 32.1)
    assert meter.ceiling == 1000 - 100 - 5 - SLACK
    meter.check()


def test_a_reply_is_compared_with_what_was_asked_after_it_came() -> None:
    meter = shared()
    meter.observe(MetricReport(1000, 400), 100, 1.0)
    meter.observe(MetricReport(1000, 900), 100, 1.05)  # says less
    meter.elsewhere(0, 1, 0.9)  # was on its way
    assert meter.ceiling == 1000
    meter.elsewhere(500, 1, 1.1)
    assert meter.ceiling == 1000
    meter.elsewhere(0, 1, 1.2)
    assert meter.ceiling == 1000, "that was the last word on it"
    meter.observe(MetricReport(1000, 400), 100, 10.0)
    meter.observe(MetricReport(1000, 900), 100, 10.05)
    meter.elsewhere(300, 1, 10.1)
    assert meter.ceiling == 1000 - 200 - 10 - SLACK, "of several, the one that says the most is taken"


def test_what_a_reply_does_not_say_is_not_waited_for() -> None:
    meter = shared()
    for said in (MetricReport(), MetricReport(1000), MetricReport(1000, -1), MetricReport(0, 0)):
        meter.observe(said, 100, 1.0)
    meter.elsewhere(0, 1, 1.1)
    assert meter.ceiling == 1000


def test_who_is_heard_of_for_the_first_time_is_nobody_else() -> None:
    meter = shared(others=0)
    meter.observe(MetricReport(1000, 400), 100, 1.0)
    assert meter.ceiling == 1000 - 500 - 25
    meter.elsewhere(500, 1, 1.1)
    assert meter.for_all(1.1) == 1000


@pytest.mark.parametrize(("used", "margin"), [(100, 0.5), (500, 1.0)])
def test_why_a_call_was_refused_is_known_once_it_is_known_what_others_of_this_user_used(
    used: int, margin: float
) -> None:
    meter = shared()
    for _ in range(2):  # they were on their way together
        meter.observe(MetricReport(1000, 400), 100, 1.0)
        meter.refused(450, 0.9, 1.0, 400)
    assert meter.margin == 0.5
    meter.elsewhere(used, 1, 1.1)
    assert meter.margin == margin, "it was the time on the way only if nobody else uses the key"
    meter.observe(MetricReport(1000, 400), 100, 1.25)
    meter.refused(450, 1.2, 1.25, 400)
    meter.elsewhere(used, 1, 1.3)
    assert meter.margin == (0.5 if margin == 0.5 else 2 * margin)
    margin = meter.margin
    meter.refused(100, 1.4, 1.5, 100)  # with that much left it was for something else
    assert meter.margin > margin
    meter.check()


def test_a_limit_of_a_second_says_nothing_of_others() -> None:
    meter = shared()
    meter._meant.is_second = True
    meter.observe(MetricReport(1000, 400), 100, 1.0)
    meter.elsewhere(0, 1, 1.1)
    assert not meter._foreign.seen


def test_what_is_declared_is_not_less_because_others_use_the_rest() -> None:
    meter = SharedWindow(300, 60.0, 0.5)
    meter.elsewhere(0, 1, 0.0)
    meter.borrower.lent(300, 100.0, None, 1)
    meter.observe(MetricReport(1000, 300), 0, 1.0)
    meter.elsewhere(0, 1, 1.1)
    assert meter.to_share(1.1) == 1000 - 700 - 35 - 10
    meter.observe(MetricReport(1000, 400), 0, 70.0)
    meter.elsewhere(0, 1, 70.1)
    assert meter.to_share(70.1) == 300
