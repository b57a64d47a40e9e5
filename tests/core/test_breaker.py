"""The circuit breaker: against its model, and rule by rule."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.breaker_model import SETTINGS, random_steps

from tenire.core.breaker import CircuitBreaker

if TYPE_CHECKING:
    from tenire.core.breaker import CallPermit


def calls(breaker: CircuitBreaker, now: float, outcomes: str) -> None:
    """Let calls end one after the other: ``o`` well, ``f`` badly, ``c`` cancelled."""
    for letter in outcomes:
        permit = breaker.acquire(now)
        assert permit is not None
        breaker.release(permit, now, {"o": "ok", "f": "failure", "c": "cancelled"}[letter])
        breaker.check()


def opened(**settings: Any) -> CircuitBreaker:
    """A breaker that opened at time 0."""
    breaker = CircuitBreaker(minimum_calls=2, **settings)
    calls(breaker, 0.0, "ff")
    assert breaker.state == "open"
    return breaker


def probes(breaker: CircuitBreaker, now: float) -> list[CallPermit]:
    """Ask a thousand times, and return what was admitted."""
    return [permit for permit in (breaker.acquire(now) for _ in range(1000)) if permit is not None]


@pytest.mark.parametrize("seed", range(4 * len(SETTINGS)))
def test_it_does_what_its_model_says_whatever_happens(seed: int) -> None:
    model = random_steps(1500, seed)
    ways = {("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("half_open", "closed")}
    assert model.seen <= ways
    assert {("closed", "open"), ("open", "half_open")} <= model.seen
    assert model.refused > 0


def test_it_opens_when_enough_calls_came_and_enough_of_them_failed() -> None:
    breaker = CircuitBreaker()
    calls(breaker, 0.0, "fffff" + "oooo")
    assert breaker.state == "closed"
    calls(breaker, 1.0, "o")  # the tenth: five of ten failed
    assert (breaker.state, breaker.retry_at) == ("open", 6.0)


def test_failures_that_are_older_than_the_window_do_not_count() -> None:
    breaker = CircuitBreaker()
    calls(breaker, 0.0, "f" * 9)
    calls(breaker, 30.0, "f")
    assert breaker.state == "closed"
    calls(breaker, 30.0, "f" * 9)
    assert breaker.state == "open"


def test_a_ratio_is_reached_exactly() -> None:
    breaker = CircuitBreaker(minimum_calls=30, failure_ratio=0.1)
    calls(breaker, 0.0, "fff" + "o" * 26)
    assert breaker.state == "closed"
    calls(breaker, 0.0, "o")  # three of thirty; 0.1 * 30 is more than 3
    assert breaker.state == "open"


@given(st.integers(), st.floats(0.001, 1000), st.floats(0, 1e6))
def test_a_call_at_the_very_time_is_admitted_and_refused_ones_do_not_move_it(
    seed: int, open_for: float, at: float
) -> None:
    breaker = CircuitBreaker(minimum_calls=1, open_for=open_for, rng=random.Random(seed))
    calls(breaker, at, "f")
    when = breaker.retry_at
    for part in (0.0, 0.5, 0.999):
        assert breaker.acquire(at + (when - at) * part) is None
        assert breaker.retry_at == when
    assert breaker.acquire(when) is not None


@pytest.mark.parametrize("permits", [1, 3, 10])
def test_a_thousand_callers_at_half_open_get_no_more_than_its_permits(permits: int) -> None:
    breaker = opened(half_open_permits=permits)
    assert len(probes(breaker, breaker.retry_at)) == permits
    assert breaker.state == "half_open"


def test_a_place_is_free_again_as_soon_as_a_probe_has_ended() -> None:
    breaker = opened()
    first = probes(breaker, 5.0)
    breaker.release(first[0], 5.1, "ok")
    breaker.release(first[1], 5.1, "cancelled")
    assert len(probes(breaker, 5.1)) == 2
    assert breaker.state == "half_open"


def test_as_many_successes_as_there_are_permits_close_it() -> None:
    breaker = opened()
    calls(breaker, 5.0, "occocc")
    assert breaker.state == "half_open"
    calls(breaker, 5.0, "o")
    assert breaker.state == "closed"
    calls(breaker, 5.0, "of")
    assert breaker.state == "open"


def test_one_failure_opens_it_again_for_twice_as_long() -> None:
    breaker, times = opened(), []
    for _ in range(9):
        at = breaker.retry_at
        calls(breaker, at, "of")
        times.append(breaker.retry_at - at)
    assert times == [10, 20, 40, 80, 160, 320, 320, 320, 320]


def test_it_may_bear_some_failures_and_still_close() -> None:
    breaker = opened(half_open_failures=2)
    calls(breaker, 5.0, "ofo")
    assert breaker.state == "half_open"
    calls(breaker, 5.0, "o")
    assert breaker.state == "closed"
    breaker = opened(half_open_failures=2)
    calls(breaker, 5.0, "ff")
    assert (breaker.state, breaker.retry_at) == ("open", 15.0)


def test_the_time_that_it_is_open_has_a_bound() -> None:
    breaker, times = opened(longest_open=12.0), []
    for _ in range(4):
        at = breaker.retry_at
        calls(breaker, at, "f")
        times.append(breaker.retry_at - at)
    assert times == [10, 12, 12, 12]


def test_an_outage_after_many_good_calls_is_seen_at_once() -> None:
    slow, fast = CircuitBreaker(), CircuitBreaker(window_calls=20)
    for breaker in (slow, fast):
        calls(breaker, 0.0, "o" * 500)
        calls(breaker, 1.0, "f" * 9)
        assert breaker.state == "closed"
        calls(breaker, 1.0, "f")
    assert (slow.state, fast.state) == ("closed", "open")


def test_an_outage_that_comes_back_soon_is_the_same_one() -> None:
    breaker = opened()
    calls(breaker, 5.0, "ooo" + "ff")
    assert breaker.retry_at == 15.0
    calls(breaker, 15.0, "ooo")
    calls(breaker, 25.1, "ff")  # closed for longer than it had been open
    assert breaker.retry_at == 30.1


def test_chance_makes_it_open_for_up_to_a_fifth_longer() -> None:
    rng = random.Random(7)
    times = [opened(rng=rng).retry_at for _ in range(500)]
    assert min(times) < 5.05
    assert max(times) > 5.95
    assert all(5.0 <= time <= 6.0 for time in times)


@pytest.mark.parametrize("outcome", ["ok", "failure", "cancelled"])
def test_a_result_from_before_it_opened_changes_nothing(outcome: Any) -> None:
    breaker = CircuitBreaker(minimum_calls=2)
    old = [breaker.acquire(0.0) for _ in range(5)]
    calls(breaker, 0.0, "ff")
    for permit, now in zip(old, (1.0, 4.0, 5.0, 5.0, 5.0), strict=True):
        if now == 5.0:
            probes(breaker, now)
        assert permit is not None
        breaker.release(permit, now, outcome)
        breaker.check()
        assert (breaker.state, breaker.retry_at) == ("half_open" if now == 5.0 else "open", 5.0)
    assert probes(breaker, 5.0) == []


def test_a_call_ends_once() -> None:
    breaker = opened()
    probe = breaker.acquire(5.0)
    assert probe is not None
    for _ in range(5):
        breaker.release(probe, 5.0, "ok")
    assert breaker.state == "half_open"
    assert len(probes(breaker, 5.0)) == 3
    breaker.check()


def test_cancelled_calls_count_neither_way() -> None:
    breaker = CircuitBreaker(minimum_calls=3)
    calls(breaker, 0.0, "ff" + "c" * 50)
    assert breaker.state == "closed"
    calls(breaker, 0.0, "f")
    assert breaker.state == "open"


def test_a_clock_that_is_set_back_an_hour_does_no_harm() -> None:
    breaker = CircuitBreaker(minimum_calls=3)
    calls(breaker, 4000.0, "off")  # two of three failed: open until 4005
    assert breaker.acquire(400.0) is None
    assert breaker.retry_at == 4005.0
    calls(breaker, 4005.0, "o")
    calls(breaker, 405.0, "oo")
    assert breaker.state == "closed"
    calls(breaker, 0.0, "oof")
    calls(breaker, 4000.0, "of")
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0}, {"window": float("inf")}, {"window": float("nan")}, {"minimum_calls": 0}, {"minimum_calls": 1.5},
        {"failure_ratio": 0}, {"failure_ratio": 1.01}, {"open_for": -1}, {"half_open_permits": 0},
        {"half_open_failures": 0}, {"window_calls": 9}, {"window_calls": 1001}, {"window_calls": 10.5},
        {"longest_open": 4.9}, {"longest_open": 321.0}, {"longest_open": float("nan")},
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        CircuitBreaker(**wrong)


def test_an_unknown_outcome_is_refused_and_the_call_goes_on() -> None:
    breaker = opened()
    probe = breaker.acquire(5.0)
    assert probe is not None
    with pytest.raises(ValueError, match="one of ok, failure, cancelled, got 'fine'"):
        breaker.release(probe, 5.0, "fine")  # type: ignore[arg-type]
    assert len(probes(breaker, 5.0)) == 2


def test_the_check_sees_a_broken_breaker() -> None:
    breaker = opened()
    breaker._out = 1
    with pytest.raises(AssertionError):
        breaker.check()


def test_it_can_be_asked_whether_a_permit_is_still_worth_a_call() -> None:
    breaker = CircuitBreaker(minimum_calls=1, open_for=5.0)
    early, late = breaker.acquire(0.0), breaker.acquire(0.0)
    assert early is not None
    assert late is not None
    assert breaker.current(late)
    breaker.release(early, 1.0, "failure")
    assert not breaker.current(late)
    probe = breaker.acquire(6.0)
    assert probe is not None
    assert breaker.current(probe)
    assert not breaker.current(late)
