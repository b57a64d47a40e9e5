"""The meter of one metric, kept at what the server takes."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tenire.core.quota_meter import QuotaMeter
from tenire.core.rate_report import MetricReport
from tenire.core.rate_window import UNLIMITED
from tenire.core.shared_window import SharedWindow

WINDOW, JITTER = 60.0, 0.5


def spend(meter: QuotaMeter, amount: int, now: float) -> None:
    assert meter.refill(0, now) >= amount
    meter.take(amount, 0, now)


def test_of_two_limits_the_smaller_holds() -> None:
    meter = QuotaMeter(100, WINDOW, JITTER)
    assert (meter.limit, meter.source) == (100, "declared")
    meter.observe(MetricReport(limit=500), 0, 0.0)
    assert (meter.limit, meter.source) == (100, "declared")
    meter.observe(MetricReport(limit=50), 0, 0.0)
    assert (meter.limit, meter.ceiling, meter.source) == (50, 50, "announced")
    meter.check()


@pytest.mark.parametrize("nothing", [MetricReport(), MetricReport(limit=-1), MetricReport(limit=0, remaining=0)])
def test_what_is_not_known_is_not_limited(nothing: MetricReport) -> None:
    meter = QuotaMeter(None, WINDOW, JITTER)
    meter.observe(nothing, 0, 0.0)
    assert (meter.limit, meter.source, meter.known) == (UNLIMITED, "unknown", None)
    meter.observe(MetricReport(limit=50, remaining=-1), 0, 0.0)
    assert (meter.ceiling, meter.source) == (50, "announced")


def test_what_others_use_is_left_to_them_and_comes_back() -> None:
    meter = QuotaMeter(1000, WINDOW, JITTER)
    spend(meter, 100, 0.0)
    meter.observe(MetricReport(limit=1000, remaining=500), 100, 1.0)
    assert meter.ceiling == 1000 - 400 - 20
    assert meter.limit == 1000, "a call may still need more"
    assert meter.ready_at(900, 0, 2.0) <= 2.0 + WINDOW / 60, "it is looked again every second"
    meter.refill(0, 61.5)
    assert meter.ceiling == 1000
    meter.check()


@pytest.mark.parametrize("others", [0, 1, 10, 11, 500])
@pytest.mark.parametrize("rounding", [0, 10])
@pytest.mark.parametrize("limit", [1000, 999])
def test_a_reply_that_says_what_is_known_changes_nothing(others: int, rounding: int, limit: int) -> None:
    meter = QuotaMeter(2000, WINDOW, JITTER)
    spend(meter, 100, 0.0)
    meter.observe(MetricReport(limit=1000, remaining=900), 100, 0.0)
    said = MetricReport(limit, limit - 100 - others, rounding)
    before = meter.ceiling
    known = meter.knows(said, 100)
    meter.observe(said, 100, 1.0)
    assert known is (meter.ceiling == before)
    if meter.ceiling != before and others:
        assert not meter.knows(MetricReport(1000, 900), 100), "others are seen no more"


def test_a_reply_that_does_not_say_all_is_not_known() -> None:
    meter = QuotaMeter(2000, WINDOW, JITTER)
    assert not meter.knows(MetricReport(), 0)
    assert not meter.knows(MetricReport(remaining=5), 0)
    meter.observe(MetricReport(limit=1000, remaining=900), 100, 0.0)
    assert not meter.knows(MetricReport(limit=1000), 100)


def test_what_is_declared_may_be_a_part_of_what_the_server_gives() -> None:
    meter = QuotaMeter(300, WINDOW, JITTER)
    meter.observe(MetricReport(limit=1000, remaining=500), 100, 1.0)
    assert meter.ceiling == 300, "others use less than the rest"


def test_a_pause_is_as_long_as_the_server_says_or_longer_each_time() -> None:
    meter = QuotaMeter(100, WINDOW, JITTER)
    meter.freeze(7.0, 0.0)
    assert meter.frozen_until == 7.0
    meter.freeze(3.0, 0.0)
    assert meter.frozen_until == 7.0
    found = []
    now = 100.0
    for _ in range(7):
        meter.freeze(None, now)
        found.append(meter.frozen_until - now)
        now = meter.frozen_until
    assert found == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]
    meter.accepted(now)
    meter.freeze(None, now)
    assert meter.frozen_until - now == 1.0


def test_a_refusal_doubles_the_margin_which_shrinks_again() -> None:
    meter = QuotaMeter(1000, WINDOW, JITTER)
    spend(meter, 10, 0.0)
    meter.refused(10, 0.0, 1.0)
    assert meter.margin == 1.0
    meter.refill(0, 61.0)
    assert meter.margin == pytest.approx(0.9)
    for minute in range(20):
        meter.refill(0, 120.0 + 60.0 * minute)
    assert meter.margin == JITTER
    meter.check()


def test_calls_that_were_on_their_way_together_are_refused_once() -> None:
    meter = QuotaMeter(1000, WINDOW, JITTER)
    for sent in (0.0, 0.5, 1.0):
        meter.refused(10, sent, 1.0)
    assert meter.margin == 1.0
    meter.refused(10, 1.5, 2.0)
    assert meter.margin == 2.0


def test_the_margin_has_a_bound() -> None:
    meter = QuotaMeter(10**6, WINDOW, JITTER)
    for number in range(20):
        meter.refused(10, 1000.0 * number, 1000.0 * number + 1.0)
    assert meter.margin == WINDOW / 4


def test_a_wide_jitter_is_not_narrowed_by_a_refusal() -> None:
    meter = QuotaMeter(100, 1.0, 0.5)
    meter.refused(10, 0.0, 1.0)
    assert meter.margin == 0.5
    meter.check()


def test_when_others_were_faster_nothing_else_is_to_blame() -> None:
    meter = QuotaMeter(1000, WINDOW, JITTER)
    meter.observe(MetricReport(limit=1000, remaining=5), 100, 1.0)
    for number in range(5):
        meter.refused(10, 2.0 + number, 2.5 + number, left=5)
    assert (meter.margin, meter.quantum, meter.source) == (JITTER, None, "declared")
    assert meter.ceiling < 110


def test_of_a_limit_that_nobody_names_it_learns_from_refusals() -> None:
    meter = QuotaMeter(None, WINDOW, JITTER)
    for number in range(50):
        spend(meter, 1, 0.5 * number)
    meter.accepted(24.0)
    for _ in range(2):
        meter.refused(1, 24.5, 25.0)
        meter.freeze(None, 25.0)
    assert meter.source == "unknown", "it may be chance"
    assert meter.frozen_until == 26.0, "but two in a row are worth a pause"
    meter.refused(1, 24.5, 25.0)
    assert (meter.ceiling, meter.source) == (44, "learned")
    assert meter.limit == UNLIMITED, "a call may need more"
    meter.observe(MetricReport(limit=40), 49, 26.0)
    assert meter.ceiling == 40
    meter.check()


@pytest.mark.parametrize("declared", [None, 600])
def test_refusals_teach_no_limit_while_nothing_is_accepted(declared: int | None) -> None:
    meter = QuotaMeter(declared, WINDOW, JITTER)
    for number in range(8):
        now = 10.0 * number
        spend(meter, 1, now)
        meter.refused(1, now, now + 0.2)
    assert meter.source == ("unknown" if declared is None else "declared")
    meter.accepted(90.0)
    for number in range(3):
        now = 160.0 + 10.0 * number
        spend(meter, 1, now)
        meter.refused(1, now, now + 0.2)
    assert meter.source != "learned", "what was accepted is longer ago than a window"
    meter.accepted(190.0)
    spend(meter, 1, 190.5)
    meter.refused(1, 190.5, 191.0)
    assert meter.source == "learned"
    meter.check()


def test_a_limit_that_is_not_what_it_says_is_learned_too_and_forgotten_again() -> None:
    meter = QuotaMeter(1000, WINDOW, JITTER)
    meter.accepted(0.0)
    for number in range(3):
        meter.refused(10, 10.0 * number, 10.0 * number + 1.0, left=None)
    assert (meter.ceiling, meter.source) == (900, "learned")
    now = 30.0
    while meter.source == "learned":
        now += 1.0
        meter.add(now, 20)
        meter.refill(0, now)
        assert now < 400.0
    assert meter.ceiling == 1000


@pytest.mark.parametrize("kind", [QuotaMeter, SharedWindow])
def test_a_learned_limit_of_a_few_calls_grows_while_one_more_waits(kind: type[QuotaMeter]) -> None:
    meter = kind(None, WINDOW, JITTER)
    for number in range(4):
        spend(meter, 13, 0.5 * number)
    meter.accepted(1.5)
    for _ in range(3):
        meter.refused(13, 1.6, 2.0)
    assert (meter.ceiling, meter.source) == (35, "learned")

    def ceiling_after(start: int, *, lacking: int = 0) -> int:
        for now in range(start, start + 10):
            if lacking:
                meter.lacked(lacking)
            meter.refill(0, float(now))
        return meter.ceiling

    ceiling_after(3)
    few = ceiling_after(13)
    assert few == 72, "52 are most of 57"
    assert ceiling_after(23, lacking=20) == few, "there is room for it"
    more = ceiling_after(33, lacking=200)
    assert more > few
    assert ceiling_after(43) == more, "nobody waits any more"
    meter.check()


def test_a_server_that_counts_by_the_second_is_found_out() -> None:
    meter = QuotaMeter(60, WINDOW, JITTER)
    meter.margin = 2.0
    for number in range(3):
        at = 200.0 * number
        for step in range(60):
            meter.add(at - 59.0 + step, 1)
        meter.refused(1, at, at + 0.1, left=50)
        meter.check()
    assert meter.quantum == 30.0
    assert meter.margin == JITTER, "it was not the time on the way"
    meter.refused(1, 900.0, 900.1, left=50)
    assert meter.quantum is None, "nothing was sent then, so no quantum explains it"
    meter.check()


class Signals(RuleBasedStateMachine):
    """Whatever a server says and does, the meter stays sound and something may be sent some time."""

    def __init__(self) -> None:
        super().__init__()
        self.meter = QuotaMeter(None, WINDOW, JITTER)
        self.now = 1000.0
        self.sent_at = self.now

    @rule(seconds=st.floats(0.0, 40.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(amount=st.integers(1, 200))
    def send(self, amount: int) -> None:
        if self.meter.refill(0, self.now) >= amount:
            self.meter.take(amount, 0, self.now)
            self.sent_at = self.now

    @rule(amount=st.integers(1, 200), left=st.one_of(st.none(), st.integers(-1, 300)))
    def refuse(self, amount: int, left: int | None) -> None:
        self.meter.refused(amount, self.sent_at, self.now, left)

    @rule(after=st.one_of(st.none(), st.floats(0.0, 30.0)))
    def freeze(self, after: float | None) -> None:
        self.meter.freeze(after, self.now)

    @rule(
        limit=st.one_of(st.none(), st.integers(-1, 500)),
        remaining=st.one_of(st.none(), st.integers(-1, 500)),
        rounding=st.sampled_from([0, 5, 500]),
    )
    def say(self, limit: int | None, remaining: int | None, rounding: int) -> None:
        report = MetricReport(limit=limit, remaining=remaining, rounding=rounding)
        self.meter.observe(report, self.meter.spent(self.now), self.now)

    @rule(limit=st.one_of(st.none(), st.integers(1, 500)))
    def declare(self, limit: int | None) -> None:
        self.meter.declare(limit, self.now)

    @rule()
    def accept(self) -> None:
        self.meter.accepted(self.now)

    @rule()
    def wait_for_one(self) -> None:
        for _ in range(1000):
            free = self.meter.refill(0, self.now)
            if free >= 1:
                return
            at = self.meter.ready_at(1, free, self.now)
            assert at > self.now, "it would ask again at once, for ever"
            self.now = at
        raise AssertionError("nothing may be sent for ever")

    @invariant()
    def sound(self) -> None:
        self.meter.check()


TestSignals = Signals.TestCase
