"""The meter of a quota: nothing beyond the limit in any window, and times that are not early."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tenire.core.rate_ledger import SLOTS
from tenire.core.rate_window import CREDIT, FASTEST, UNLIMITED, SlidingWindow

WINDOW, JITTER = 60.0, 0.5
SPAN = WINDOW + JITTER
WIDTH = SPAN / SLOTS


def drained(meter: SlidingWindow, amount: int, seconds: float, now: float = 0.0) -> list[float]:
    """Take the same amount whenever it is free; return when."""
    times = []
    end = now + seconds
    while now < end:
        free = meter.refill(0, now)
        if free >= amount:
            meter.take(amount, free, now)
            times.append(now)
        else:
            now = meter.ready_at(amount, free, now)
    return times


class Taking(RuleBasedStateMachine):
    """Take, hold, send, give back in any order, against a list of what was sent when."""

    @initialize(limit=st.integers(1, 100), haste=st.booleans())
    def begin(self, limit: int, haste: bool) -> None:
        self.meter = SlidingWindow(limit, WINDOW, JITTER)
        self.now = 1000.0
        self.sent: list[tuple[float, int]] = []
        self.held: list[int] = []
        self.limit = limit
        self.step = 20.0 if haste else 1.0

    @rule(part=st.floats(0.0, 1.0))
    def wait(self, part: float) -> None:
        self.now += part * self.step

    @rule(part=st.floats(0.0, 1.0), hold=st.booleans())
    def take(self, part: float, hold: bool) -> None:
        amount = max(1, round(part * self.limit))
        free = self.meter.refill(0, self.now)
        if amount <= free:
            left = self.meter.take(amount, free, self.now)
            assert left == self.meter.refill(left, self.now)
            if hold:
                self.meter.hold(amount, self.now)
                self.held.append(amount)
            else:
                self.sent.append((self.now, amount))

    @rule(part=st.floats(0.0, 1.0))
    def wait_until_ready(self, part: float) -> None:
        amount = max(1, round(part * self.limit))
        free = self.meter.refill(0, self.now)
        at = self.meter.ready_at(amount, free, self.now)
        assert at >= self.now
        assert (at == self.now) == (amount <= free)
        self.now = at
        if amount + sum(self.held) <= self.limit:
            assert self.meter.refill(0, at) >= amount

    @precondition(lambda self: self.held)
    @rule()
    def send(self) -> None:
        amount = self.held.pop()
        self.meter.stamp(amount, self.now)
        self.sent.append((self.now, amount))

    @precondition(lambda self: self.held)
    @rule(part=st.floats(0.0, 1.0))
    def use_less(self, part: float) -> None:
        amount = self.held.pop()
        used = round(part * amount)
        self.meter.stamp(amount, self.now, spent=used)
        self.sent.append((self.now, used))

    @precondition(lambda self: self.held)
    @rule()
    def give_back(self) -> None:
        self.meter.give_back(self.held.pop())

    @invariant()
    def nothing_beyond_the_limit_arrives_in_any_window(self) -> None:
        if not hasattr(self, "meter"):
            return
        self.meter.check()
        assert self.meter.held == sum(self.held)
        counted = sum(amount for at, amount in self.sent if self.now < at + SPAN)
        assert counted + self.meter.held <= self.limit
        assert counted + self.meter.held <= self.meter.spent(self.now)


TestTaking = Taking.TestCase


@pytest.mark.parametrize("amount", [1, 3])
def test_the_whole_limit_is_used_evenly_when_the_window_has_filled(amount: int) -> None:
    meter = SlidingWindow(600, WINDOW, JITTER)
    times = drained(meter, amount, 1200.0)
    used = amount * sum(at >= 120.0 for at in times) / (600 * 1080 / WINDOW)
    assert used >= 0.99
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) <= CREDIT * WINDOW + 2.0, "it stands still for longer than it may have hurried"
    ten = [later - earlier for earlier, later in zip(times, times[10:], strict=False)]
    assert min(ten) >= 10 * amount / meter.rate / FASTEST * 0.95, "a timer may be late, and then the first are sooner"


def test_after_a_pause_it_makes_up_for_no_more_than_its_credit() -> None:
    meter = SlidingWindow(600, WINDOW, JITTER)
    assert meter.refill(0, 1000.0) == 600
    times = drained(meter, 1, 30.0, 1000.0)
    assert len(times) == pytest.approx(10 * (30 + CREDIT * WINDOW), abs=1)
    first = [at for at in times if at < 1005.0]
    assert len(first) == pytest.approx(10 * 5.0 * FASTEST, abs=1)


def test_a_timer_that_is_late_does_not_slow_it_down() -> None:
    meter, now, taken = SlidingWindow(6000, WINDOW, JITTER), 0.0, 0
    while now < 3.0:
        free = meter.refill(0, now)
        while free:
            taken += 1
            free = meter.take(1, free, now)
        now += 0.009  # it is free again every five thousandths, and looked at every nine
    assert taken == pytest.approx(3.0 * 100 * FASTEST, rel=0.02)


def test_nothing_is_free_while_it_is_frozen() -> None:
    meter = SlidingWindow(60, WINDOW, JITTER)
    meter.frozen_until = 5.0
    assert meter.refill(0, 4.999) == 0
    assert meter.ready_at(1, 0, 1.0) == 5.0
    assert meter.refill(0, 5.0) == 60


def test_what_is_sent_later_counts_from_then_on() -> None:
    meter = SlidingWindow(10, WINDOW, JITTER)
    meter.take(10, meter.refill(0, 0.0), 0.0)
    meter.hold(10, 0.0)
    assert meter.spent(100.0) == 10, "held, so it does not age"
    meter.stamp(10, 100.0)
    assert meter.spent(160.0) == 10
    assert meter.spent(160.6) == 0


def test_what_was_never_sent_puts_off_nothing() -> None:
    meter = SlidingWindow(60, WINDOW, JITTER)
    for _ in range(100):
        now = meter.ready_at(1, meter.refill(0, 100.0), 100.0)
        assert now == pytest.approx(100.0)
        meter.take(1, meter.refill(0, now), now)
        meter.hold(1, now)
        meter.give_back(1)


def test_who_waits_for_what_is_held_is_told_some_time() -> None:
    meter = SlidingWindow(10, WINDOW, JITTER)
    meter.take(8, meter.refill(0, 0.0), 0.0)
    meter.hold(8, 0.0)
    assert meter.ready_at(5, 0, 10.0) == 70.0
    meter.give_back(8)
    assert meter.refill(0, 60.0) == 10


def test_a_lower_limit_holds_at_once_and_a_higher_one_too() -> None:
    meter = SlidingWindow(100, WINDOW, JITTER)
    meter.take(50, 100, 0.0)
    meter.set_limit(40)
    assert meter.refill(0, 59.0) == 0
    assert meter.ready_at(1, 0, 59.0) == pytest.approx(60.5, abs=WIDTH)
    meter.set_limit(60)
    assert meter.refill(0, 59.0) == 10
    assert meter.rate == 1.0
    meter.set_limit(None)
    assert meter.refill(0, 59.0) == UNLIMITED - 50


def test_a_larger_margin_counts_longer() -> None:
    meter = SlidingWindow(10, WINDOW, JITTER)
    meter.take(10, 10, 0.0)
    meter.margin = 2.0
    assert meter.margin == 2.0
    assert meter.spent(61.9) == 10
    assert meter.spent(62.1) == 0


def test_what_was_used_without_having_been_taken_counts() -> None:
    meter = SlidingWindow(10, WINDOW, JITTER)
    meter.add(0.0, 12)
    assert meter.refill(0, 1.0) == 0
    assert meter.since(-1.0) == [(0.0, 12)]


@given(st.lists(st.integers(1, 27), min_size=5, max_size=200))
def test_large_amounts_are_never_too_much_for_a_window_either(amounts: list[int]) -> None:
    meter, now = SlidingWindow(100, WINDOW, JITTER), 0.0
    sent: list[tuple[float, int]] = []
    for amount in amounts:
        free = meter.refill(0, now)
        now = meter.ready_at(amount, free, now)
        meter.take(amount, meter.refill(0, now), now)
        sent.append((now, amount))
        assert sum(units for at, units in sent if now < at + SPAN) <= 100


def test_what_was_counted_too_high_is_put_right_at_its_own_time() -> None:
    meter = SlidingWindow(1000, 60.0, 0.5)
    meter.take(500, meter.refill(0, 0.0), 0.0)
    assert meter.correct(0.0, 500, spent=300) == 200
    assert meter.spent(60.4) == 300
    assert meter.spent(61.0) == 0
    assert meter.correct(0.0, 300, spent=100) == 0, "it counts no longer"
    meter.check()


def test_who_took_less_than_was_thought_is_followed_as_soon_as_if_that_had_been_known() -> None:
    told, guessed = SlidingWindow(1000, 60.0, 0.5), SlidingWindow(1000, 60.0, 0.5)
    for number in range(4):
        now = number * 40.0
        told.take(100, 0, now)
        guessed.take(300, 0, now)
        guessed.correct(now, 300, spent=100)
        assert guessed.ready_at(100, 0, now) == pytest.approx(told.ready_at(100, 0, now))


@pytest.mark.parametrize("quantum", [1.0, 10.0])
def test_a_limit_that_is_enforced_by_the_second_holds_for_each_of_them(quantum: float) -> None:
    meter = SlidingWindow(600, WINDOW, JITTER)
    times = drained(meter, 1, 100.0)
    meter.set_quantum(quantum, times[-1])
    now = times[-1]
    assert meter.spent(now) > 500, "what was sent before counts on"
    times += drained(meter, 1, 300.0, now + 0.01)
    later = [at for at in times if at > now]
    for at in later:
        assert sum(at - quantum - JITTER < other <= at for other in times) <= 10 * quantum
    assert len(later) >= 0.97 * quantum / (quantum + JITTER) * 3000
    meter.set_quantum(None, times[-1])
    assert len(drained(meter, 1, 60.0, times[-1] + 0.01)) >= 580


def test_with_a_quantum_what_is_larger_goes_when_nothing_counts() -> None:
    meter = SlidingWindow(60, WINDOW, JITTER)
    meter.set_quantum(1.0, 0.0)
    assert meter.refill(0, 0.0) == 60
    meter.take(5, 60, 0.0)
    meter.hold(5, 0.0)
    assert meter.refill(0, 10.0) == 0, "held"
    meter.stamp(5, 10.0)
    assert meter.refill(0, 11.0) == 0
    meter.margin = 1.0
    assert meter.refill(0, 11.6) == 0, "it counts for the margin too"
    at = meter.ready_at(5, 0, 11.6)
    assert at == pytest.approx(12.0, abs=0.01)
    assert meter.refill(0, at) >= 5


def test_what_a_taking_leaves_is_what_the_ceiling_leaves() -> None:
    meter = SlidingWindow(100_000, WINDOW, JITTER)
    meter.set_limit(100_000, 50_000)
    assert meter.refill(0, 0.0) == 100_000
    assert meter.take(1, 100_000, 0.0) == meter.refill(0, 0.0) == 49_999


def test_below_a_ceiling_what_is_larger_goes_when_nothing_counts() -> None:
    meter = SlidingWindow(100, WINDOW, JITTER)
    meter.set_limit(100, 10)
    assert meter.refill(0, 0.0) == 100
    meter.take(50, 100, 0.0)
    assert meter.ready_at(50, 0, 1.0) == pytest.approx(300.0 / 4, rel=0.5)
    assert meter.refill(0, 400.0) == 100
    meter.set_limit(5, 10)
    assert meter.ceiling == 5
    meter.set_limit(5, -3)
    assert meter.ceiling == 1
