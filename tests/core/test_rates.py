"""What comes back with time, against exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.admission import Admission
from tenire.core.rates import TokenBucket
from tenire.core.tasks import Resources

STEPS = st.lists(
    st.tuples(st.one_of(st.sampled_from([0.0, 1e-9, 0.1, 1.0, 1e4]), st.floats(0.0, 10.0)), st.integers(0, 5)),
    max_size=40,
)
RATES = st.sampled_from([0.001, 1 / 3, 1.0, 2.5, 1000.0])


@given(STEPS, RATES, st.integers(1, 5))
def test_never_more_than_the_burst_and_what_came_back_is_taken_in_any_stretch_of_time(
    steps: list[tuple[float, int]], rate: float, burst: int
) -> None:
    bucket, free, now = TokenBucket(rate, burst), burst, 1000.0
    free = bucket.refill(free, now)
    taken = [(now, 0)]
    for seconds, amount in steps:
        now += seconds
        free = bucket.refill(free, now)
        assert 0 <= free <= burst
        assert bucket.refill(free, now) == free, "time that stands still brings nothing"
        if amount <= free:
            free -= amount
            taken.append((now, amount))
    for index, (start, _) in enumerate(taken):
        total = 0
        for at, amount in taken[index:]:
            total += amount
            assert total <= burst + rate * (at - start) + 1e-6


@given(STEPS, RATES, st.integers(1, 5), st.integers(1, 5))
def test_at_the_announced_time_the_amount_is_there_and_not_long_before(
    steps: list[tuple[float, int]], rate: float, burst: int, wanted: int
) -> None:
    wanted = min(wanted, burst)
    bucket, free, now = TokenBucket(rate, burst), burst, 0.0
    bucket.refill(free, now)
    for seconds, amount in steps:
        now += seconds
        free = bucket.refill(free, now)
        free -= min(amount, free)
    at = bucket.ready_at(wanted, free, now)
    if wanted <= free:
        assert at == now
        return
    before = at - 3e-6 - 1e-9 * at
    if before > now:
        early = TokenBucket(rate, burst)
        early._at, early._fraction = bucket._at, bucket._fraction
        assert early.refill(free, before) < wanted
    assert bucket.refill(free, at) >= wanted


def test_fractions_of_a_unit_are_not_lost() -> None:
    bucket, free = TokenBucket(1.0, 1000), 0
    bucket.refill(free, 0.0)
    for tick in range(1, 1001):
        free = bucket.refill(free, tick * 0.1)
    assert free in (99, 100), "a thousand tenths"
    exact = Fraction(free) + Fraction(bucket._fraction)
    assert float(exact) == pytest.approx(100.0)


def test_a_full_bucket_saves_no_fraction() -> None:
    bucket = TokenBucket(1.0, 2)
    bucket.refill(2, 0.0)
    assert bucket.refill(2, 5.9) == 2
    assert bucket.refill(0, 6.8) == 0
    assert bucket.refill(0, 6.9) == 1


def test_a_bucket_filled_to_the_brim_exactly_saves_no_fraction_either() -> None:
    bucket = TokenBucket(1.0, 2)
    bucket.refill(0, 0.0)
    assert bucket.refill(0, 2.5) == 2
    assert bucket.refill(0, 3.0) == 0, "half a unit was over, and is gone"


def test_a_new_bucket_brings_nothing_for_the_time_before_it() -> None:
    assert TokenBucket(1000.0, 10).refill(3, 12_345.0) == 3


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    bucket = TokenBucket(1.0, 10)
    bucket.refill(0, 5.0)
    assert bucket.refill(4, 4.0) == 4
    assert bucket.refill(4, 6.0) == 5


# -- among the other resources -----------------------------------------------------


def with_rate() -> Admission:
    admission = Admission(cpu=2, memory=10, threads=1, processes=1)
    admission.register_rate("rpm", 2.0, 6)
    admission.refill(0.0)
    return admission


def test_what_is_taken_of_a_rate_comes_back_with_time_only() -> None:
    admission = with_rate()
    needs = admission.needs(Resources(cpu=1, other={"rpm": 4}), task="t")
    admission.take(needs, 0.0)
    admission.give(needs)
    assert admission.free[0] == 2000
    assert admission.free[4] == 2
    assert admission.ready_at(needs, 0.0) == pytest.approx(1.0, abs=1e-5)
    admission.refill(1.0)
    assert admission.free[4] == 4
    admission.check([])


def test_a_rate_is_no_share_of_the_machine_but_costs_its_time() -> None:
    admission = with_rate()
    needs = admission.needs(Resources(cpu=1, other={"rpm": 6}), task="t")
    assert admission.share(needs) == 0.5
    assert admission.toll(needs) == 3.0
    assert admission.toll(((0, 1000),)) == 0.0
    assert admission.ready_at(((0, 9000),), 7.0) == 7.0


def test_a_rate_that_is_changed_keeps_no_more_than_its_burst() -> None:
    admission = with_rate()
    assert admission.register_rate("rpm", 1.0, 3) == 4
    assert admission.free[4] == 3
    admission.take(((4, 3),), 0.0)
    admission.register_rate("rpm", 1.0, 1)
    assert admission.free[4] == 0
    admission.check([])


def test_resources_are_asked_for_in_the_order_bytes_cpu_slots_rates() -> None:
    admission = with_rate()
    pages = admission.register("pages", 1)
    order = sorted(range(6), key=admission.rank)
    assert order == [1, 0, 2, 3, pages, 4]
    assert len({admission.rank(index) for index in range(4)}) == 4
