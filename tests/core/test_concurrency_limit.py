"""The rules of the adaptive limit; servers of many kinds are in test_concurrency_limit_servers."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenire.core.concurrency_limit import AdaptiveLimit, Token


def fill(limit: AdaptiveLimit, now: float, held: int = 0) -> list[Token]:
    tokens: list[Token] = []
    while held + len(tokens) < limit.limit:
        tokens.append(limit.on_start(now, held + len(tokens) + 1))
    return tokens


def rounds(limit: AdaptiveLimit, times: int, start: float = 0.0) -> float:
    """Run full rounds of calls that all take one second."""
    now = start
    for _ in range(times):
        tokens = fill(limit, now)
        now += 1.0
        for token in tokens:
            limit.on_end(token, now)
        limit.check()
    return now


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"minimum": 0}, "minimum must be 1 or more, got 0"),
        ({"minimum": 5, "maximum": 4}, r"maximum must not be below minimum \(5\), got 4"),
    ],
)
def test_impossible_bounds_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaptiveLimit(**arguments)


@pytest.mark.parametrize(("initial", "limit"), [(4, 4), (1, 2), (99, 10)])
def test_the_first_limit_is_moved_into_the_bounds(initial: int, limit: int) -> None:
    assert AdaptiveLimit(initial, minimum=2, maximum=10).limit == limit


def test_without_bounds_the_limit_lies_between_1_and_200() -> None:
    assert (AdaptiveLimit(0).limit, AdaptiveLimit().limit, AdaptiveLimit(999).limit) == (1, 4, 200)


def test_a_server_without_bounds_is_used_up_to_the_maximum() -> None:
    limit = AdaptiveLimit(maximum=300)
    rounds(limit, 80)
    assert limit.limit >= 240


@pytest.mark.parametrize("number", [1, 7])
def test_equal_bounds_leave_nothing_to_decide(number: int) -> None:
    limit = AdaptiveLimit(minimum=number, maximum=number)
    now = rounds(limit, 50)
    for _ in range(20):
        limit.on_end(limit.on_start(now, 1), now, ok=False)
        limit.check()
        assert limit.limit == number


def test_a_burst_of_refusals_cuts_once() -> None:
    limit = AdaptiveLimit(initial=40)
    tokens = fill(limit, 0.0)
    limits = []
    for token in tokens:
        limit.on_end(token, 0.1, ok=False)
        limits.append(limit.limit)
    assert set(limits) == {36}
    after = fill(limit, 0.1)
    limit.on_end(after[-1], 0.2, ok=False)
    assert limit.limit < 36


def test_an_outage_ends_at_few_calls_and_is_soon_forgotten() -> None:
    limit = AdaptiveLimit(initial=40, minimum=2, maximum=40)
    for step in range(300):
        limit.on_end(limit.on_start(step / 10, limit.limit), step / 10 + 0.05, ok=False)
    assert limit.limit == 4
    now = rounds(limit, 7, 30.0)
    assert limit.limit >= 30, f"back within round trips, at {now}"


def test_a_token_ends_once() -> None:
    limit = AdaptiveLimit(initial=40)
    limit.on_end(limit.on_start(0.0, 40), 0.1, ok=False)
    token = limit.on_start(0.1, 36)
    for _ in range(50):
        limit.on_end(token, 0.2)
        limit.on_end(token, 0.2, ok=False)
    assert limit.limit == 36
    assert limit._loss._good == 1


def test_tokens_that_never_end_do_no_harm() -> None:
    limit = AdaptiveLimit(maximum=50)
    now = rounds(limit, 30)
    reached = limit.limit
    for _ in range(100_000):
        limit.on_start(now, limit.limit)
    limit.check()
    assert limit.limit >= reached // 2
    rounds(limit, 60, now + 1.0)
    assert limit.limit >= 40


def test_tokens_may_end_in_any_order_and_very_late() -> None:
    limit = AdaptiveLimit(maximum=50)
    old = fill(limit, 0.0)
    now = rounds(limit, 30)
    before = limit.limit
    for token in reversed(old):
        limit.on_end(token, now + 1e6)
        limit.check()
    assert limit.limit == before, "long out of date"


def test_time_may_stand_still_or_go_back() -> None:
    limit = AdaptiveLimit()
    for _ in range(500):
        for token in fill(limit, 5.0):
            limit.on_end(token, 5.0)
        limit.check()
    limit.on_end(limit.on_start(5.0, 1), 4.0)
    limit.check()


def test_less_than_half_in_flight_never_raises_the_limit() -> None:
    limit = AdaptiveLimit(initial=20)
    rounds(limit, 3)
    before = limit.limit
    now = 3.0
    for _ in range(2000):
        token = limit.on_start(now, before // 2 - 1)
        now += 0.1
        limit.on_end(token, now)
        assert limit.limit == before


def test_after_a_cut_less_than_half_in_flight_brings_nothing_back() -> None:
    limit = AdaptiveLimit(initial=40)
    limit.on_end(limit.on_start(0.0, 40), 0.1, ok=False)
    for step in range(500):
        limit.on_end(limit.on_start(1.0 + step, 17), 1.5 + step)
        assert limit.limit == 36
    for step in range(500, 530):
        limit.on_end(limit.on_start(1.0 + step, 18), 1.5 + step)
    assert limit.limit > 36, "half of it does"


@settings(max_examples=60, stateful_step_count=120)
class Rules(RuleBasedStateMachine):
    """Calls that start, end, fail, are lost, end late, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = AdaptiveLimit(initial=6, minimum=2, maximum=30)
        self.now = 0.0
        self.running: list[Token] = []
        self.lost: list[Token] = []
        self.started = 0
        self.cut_at = 0

    @rule(times=st.integers(1, 40), took=st.sampled_from([0.0, 0.01, 1.0, 1.3, 30.0]))
    def answer(self, times: int, took: float) -> None:
        """Keep the server busy: whatever is allowed starts, the oldest ends."""
        for _ in range(times):
            while len(self.running) < self.limit.limit:
                self.start()
            self.now += took / max(1, self.limit.limit)
            self.end(0, ok=True)

    @rule()
    def start(self) -> None:
        before, inflight = self.limit.limit, len(self.running) + 1
        self.running.append(self.limit.on_start(self.now, inflight))
        self.started += 1
        assert self.limit.limit <= before or 2 * inflight >= before, "it grew though it was not used"

    @precondition(lambda self: self.running)
    @rule(place=st.integers(0, 100), ok=st.booleans())
    def end(self, place: int, *, ok: bool) -> None:
        self.finish(self.running.pop(place % len(self.running)), ok=ok)

    @precondition(lambda self: self.running)
    @rule()
    def lose(self) -> None:
        self.lost.append(self.running.pop())

    @precondition(lambda self: self.lost)
    @rule(ok=st.booleans())
    def turn_up(self, ok: bool) -> None:
        self.finish(self.lost.pop(0), ok=ok)

    @rule(seconds=st.sampled_from([0.0, 0.5, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    def finish(self, token: Token, *, ok: bool) -> None:
        before = self.limit.limit
        self.limit.on_end(token, self.now, ok=ok)
        assert self.limit.limit <= before, "it grew at an end"
        if ok:
            assert self.limit.limit == before, "it was cut without a failure"
        elif self.limit.limit < before:
            assert token.number > self.cut_at, "a second cut for one round trip"
            self.cut_at = self.started

    @invariant()
    def rules_hold(self) -> None:
        self.limit.check()


TestLimit = Rules.TestCase


def played(rounds: int) -> list[tuple[float, ...]]:
    """Run rounds of calls of uneven length; a few take very long, a few fail, and the server changes twice."""
    limit, now, seen = AdaptiveLimit(initial=6, maximum=60), 0.0, []
    numbers = itertools.count(1)
    for number in range(rounds):
        service = 2.5 if 20 <= number < 30 else 1.0
        capacity = 12 if number < 40 else 24
        ends = []
        for token in fill(limit, now):
            place = next(numbers)
            took = service * (0.8 + 0.4 * (7 * place % 11) / 11) * max(1.0, limit.limit / capacity)
            ends.append((token.start + (6 * took if place % 97 == 0 else took), place, token))
        for now, place, token in sorted(ends):  # the last end is when the next round begins
            limit.on_end(token, now, ok=place % 211 != 0)
        limit.check()
        if number % 6 == 5:
            probe = limit._probe
            seen.append((limit.limit, probe.aim, probe._noise, probe._excess, probe.belief.spread))
    return seen


def test_what_it_aims_at_is_the_same_to_four_digits_whoever_rewrites_it() -> None:
    assert played(96) == [
        pytest.approx(numbers, rel=1e-4, abs=1e-6)
        for numbers in (
            (8, 6, 0.013782, 0, 1.3147),
            (18, 13.817, 0.013782, 0, 1.2932),
            (9, 9.1177, 0.014135, 0, 0.69277),
            (8, 25.816, 0.035777, 0, 0.69005),
            (9, 25.816, 0.034476, 0.08758, 0.67161),
            (12, 16.19, 0.062949, 0.051609, 0.63814),
            (12, 21.62, 0.05987, 0, 0.78129),
            (13, 21.778, 0.054982, 0, 0.80547),
            (19, 25.772, 0.047305, 0, 0.58688),
            (15, 31.417, 0.043865, 0, 0.51893),
            (22, 30.466, 0.038248, 0, 0.41898),
            (26, 28.892, 0.038502, 0, 0.45757),
            (27, 28.973, 0.036419, 0, 0.49302),
            (23, 22.919, 0.034228, 0, 0.50355),
            (23, 40.707, 0.033881, 0.00041533, 0.54097),
            (23, 45.774, 0.035437, 0, 0.5486),
        )
    ]  # fmt: skip
