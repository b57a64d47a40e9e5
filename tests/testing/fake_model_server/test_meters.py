"""Each way of counting, against the plainest statement of what it promises."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.testing.fake_model_server.meters import BucketMeter, Meter, make_meter
from tenire.testing.fake_model_server.quotas import Quotas

KINDS = ("sliding", "fixed", "bucket", "quantised")

steps = st.lists(st.tuples(st.floats(0, 9), st.integers(1, 12)), min_size=1, max_size=60)


def admitted(meter: Meter, calls: list[tuple[float, int]]) -> list[tuple[float, int]]:
    quotas, now, taken = Quotas({"tokens": meter}), 0.0, []
    for pause, units in calls:
        now += pause
        if quotas.admit({"tokens": units}, now) is None:
            taken.append((now, units))
    return taken


@given(steps)
def test_no_sliding_window_holds_more_than_the_limit(calls: list[tuple[float, int]]) -> None:
    taken = admitted(make_meter("sliding", 10, 7.0), calls)
    for end, _ in taken:
        assert sum(units for at, units in taken if end - 7.0 < at <= end) <= 10


@given(steps)
def test_no_fixed_window_holds_more_than_the_limit(calls: list[tuple[float, int]]) -> None:
    taken = admitted(make_meter("fixed", 10, 7.0, origin=-3.0), calls)
    for window in {math.floor((at + 3.0) / 7.0) for at, _ in taken}:
        assert sum(units for at, units in taken if math.floor((at + 3.0) / 7.0) == window) <= 10


@given(steps)
def test_a_bucket_never_gives_more_than_its_size_and_what_came_back(calls: list[tuple[float, int]]) -> None:
    taken = admitted(make_meter("bucket", 10, 7.0), calls)
    for first, (begin, _) in enumerate(taken):
        spent = 0
        for end, units in taken[first:]:
            spent += units
            assert spent <= 10 + (end - begin) * 10 / 7.0 + 1e-6


@given(steps)
def test_a_quantised_limit_holds_in_each_quantum_and_in_the_window(calls: list[tuple[float, int]]) -> None:
    taken = admitted(make_meter("quantised", 14, 7.0, quantum=2.0), calls)
    for end, _ in taken:
        assert sum(units for at, units in taken if end - 7.0 < at <= end) <= 14
        assert sum(units for at, units in taken if end - 2.0 < at <= end) <= 4


def test_many_quanta_together_hold_no_more_than_the_window() -> None:
    meter = make_meter("quantised", 10, 7.0, quantum=3.0)
    assert admitted(meter, [(0.0, 4), (3.1, 4), (3.1, 4)]) == [(0.0, 4), (3.1, 4)]
    assert meter.ready_at(4, 6.2) == 7.0


@given(st.sampled_from(KINDS), steps, st.integers(1, 12))
def test_a_call_is_let_in_at_the_time_it_was_told_and_not_before(
    kind: str, calls: list[tuple[float, int]], units: int
) -> None:
    meter = make_meter(kind, 10, 7.0, quantum=3.0, origin=-3.0)  # type: ignore[arg-type]
    taken = admitted(meter, calls)
    now = sum(pause for pause, _ in calls)
    ready = meter.ready_at(units, now)
    if math.isinf(ready):
        assert units > 10 or (kind == "quantised" and units > 4)
        return
    assert ready >= now
    if ready > now + 1e-6:
        early = (now + ready) / 2
        assert Quotas({"tokens": meter}).admit({"tokens": units}, early) is not None, taken
    late = 1e-9 if kind == "fixed" else 0.0  # where a window begins is a matter of rounding
    assert Quotas({"tokens": meter}).admit({"tokens": units}, ready + late) is None


@given(st.sampled_from(KINDS), steps)
def test_everything_is_back_at_the_time_that_was_told(kind: str, calls: list[tuple[float, int]]) -> None:
    meter = make_meter(kind, 10, 7.0, quantum=3.0, origin=-3.0)  # type: ignore[arg-type]
    admitted(meter, calls)
    now = sum(pause for pause, _ in calls)
    full = meter.full_at(now)
    if full > now + 1e-6:
        assert meter.remaining((now + full) / 2) < 10
    assert meter.remaining(full + 1e-9) == pytest.approx(10)


def test_a_real_bucket_says_of_itself_what_openai_says() -> None:
    meter = BucketMeter(5000, 60.0)
    meter.take(1, 0.0)
    assert meter.remaining(0.0) == 4999
    assert meter.full_at(0.0) == pytest.approx(0.012)


def test_a_call_takes_of_all_metrics_or_of_none() -> None:
    quotas = Quotas({"requests": make_meter("sliding", 10, 60.0), "tokens": make_meter("sliding", 100, 60.0)})
    assert quotas.admit({"requests": 1, "tokens": 90}, 0.0) is None
    refusal = quotas.admit({"requests": 1, "tokens": 20}, 1.0)
    assert refusal is not None
    assert (refusal.metric, refusal.limit, refusal.used, refusal.asked, refusal.ready_at) == ("tokens", 100, 90, 20, 60)
    assert quotas.meters["requests"].remaining(1.0) == 9


def test_what_is_charged_without_asking_may_go_beyond_the_limit() -> None:
    quotas = Quotas({"tokens": make_meter("sliding", 100, 60.0)})
    quotas.charge("tokens", 130, 0.0)
    refusal = quotas.admit({"tokens": 1}, 1.0)
    assert refusal is not None
    assert refusal.used == 130
    quotas.charge("output_tokens", 5, 1.0)  # not metered here
