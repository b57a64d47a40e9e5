"""Adaptive intervals."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.intervals import AdaptiveInterval
from tenire.errors import ConfigError


class Middle(random.Random):
    """Draws the middle of every range."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


@given(st.integers(0, 99), st.lists(st.integers(0, 6), min_size=1), st.floats(0.1, 10), st.floats(1, 16))
def test_the_interval_grows_at_once_shrinks_slowly_and_stays_in_bounds(
    seed: int, levels: list[int], base: float, factor: float
) -> None:
    job = AdaptiveInterval(base, rng=random.Random(seed), maximum=base * factor)
    for level in levels:
        before = job.interval
        wait = job.next(level)
        job.check()
        wanted = min(base * factor, base * 2**level)
        assert base <= wait <= base * factor
        assert wait == pytest.approx(job.interval, rel=0.1 + 1e-9)
        assert job.interval == pytest.approx(max(wanted, before * 0.8))


def test_each_level_doubles_the_interval() -> None:
    job = AdaptiveInterval(1.0, rng=Middle())
    assert [job.next(level) for level in (0, 1, 2, 3, 9)] == [1, 2, 4, 8, 8]
    assert [round(job.next(0), 3) for _ in range(3)] == [6.4, 5.12, 4.096]


class Latest(random.Random):
    """Draws the end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_a_wait_is_drawn_within_a_tenth_of_the_interval() -> None:
    assert AdaptiveInterval(1.0, rng=Latest()).next(0) == pytest.approx(1.1)
    assert AdaptiveInterval(1.0, rng=Latest()).next(1) == pytest.approx(2.2)
    assert AdaptiveInterval(1.0, rng=Latest(), maximum=2.1).next(1) == pytest.approx(2.1)


def test_jobs_that_began_together_do_not_stay_together() -> None:
    rng = random.Random(1)
    waits = {AdaptiveInterval(1.0, rng=rng, minimum=0.5).next(0) for _ in range(10)}
    assert len(waits) == 10
    assert min(waits) < 1 < max(waits)


@pytest.mark.parametrize(("base", "minimum", "maximum"), [(0, None, None), (1, 0, 1), (1, 3, 2), (1, 1, float("inf"))])
def test_impossible_bounds_are_refused(base: float, minimum: float | None, maximum: float | None) -> None:
    with pytest.raises(ConfigError, match="bounds in order"):
        AdaptiveInterval(base, rng=Middle(), minimum=minimum, maximum=maximum)


def test_the_check_sees_an_interval_out_of_bounds() -> None:
    job = AdaptiveInterval(1.0, rng=Middle())
    job.interval = 0.5
    with pytest.raises(AssertionError):
        job.check()
