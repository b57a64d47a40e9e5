"""How long to wait before the next try."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tenire.core.backoff import full_jitter


class Longest(random.Random):
    """Always draws the upper bound."""

    def random(self) -> float:
        return 1.0


@given(st.integers(-2, 5000), st.floats(0, 1e6), st.floats(0, 1e6), st.integers())
def test_a_delay_is_never_negative_nor_longer_than_its_bound(tries: int, base: float, cap: float, seed: int) -> None:
    delay = full_jitter(tries, base=base, cap=cap, rng=random.Random(seed))
    assert 0 <= delay <= cap
    assert delay <= base * 2 ** min(max(tries - 1, 0), 60)


def test_the_bound_doubles_with_each_failure_up_to_the_cap() -> None:
    bounds = [full_jitter(tries, base=0.1, cap=1.0, rng=Longest()) for tries in range(1, 7)]
    assert bounds == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_delays_are_spread_over_the_whole_interval() -> None:
    rng = random.Random(1)
    delays = [full_jitter(3, base=1.0, cap=100.0, rng=rng) for _ in range(2000)]
    assert all(any(low <= delay < low + 0.5 for delay in delays) for low in (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5))
    assert abs(sum(delays) / len(delays) - 2.0) < 0.1
