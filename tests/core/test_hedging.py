"""Second copies of slow calls."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.hedging import ENOUGH, Hedging


def test_nothing_is_slow_before_enough_is_known() -> None:
    hedging = Hedging()
    for _ in range(ENOUGH - 1):
        assert hedging.start(5.0) is None
        hedging.end(1.0)
        hedging.check()
    hedging.end(1.0)
    assert hedging.start(5.0) == 6.0


def test_a_call_is_slow_when_it_took_longer_than_the_quantile() -> None:
    hedging = Hedging(quantile=0.9)
    for number in range(101):
        hedging.end(float(number))
    assert hedging.delay is not None
    assert 80 <= hedging.delay <= 95


@given(st.lists(st.floats(0, 5), min_size=ENOUGH, max_size=400), st.sampled_from([0.01, 0.05, 0.5]))
def test_copies_are_never_more_than_their_part_of_all_calls(times: list[float], part: float) -> None:
    hedging, copies = Hedging(budget=part), 0
    for number, seconds in enumerate(times, 1):
        slow = hedging.start(0.0)
        if slow is not None and seconds > slow and hedging.copy():
            copies += 1
        hedging.end(seconds)
        hedging.check()
        assert copies <= part * number + 1 + 1e-9


def test_the_tail_goes_down_and_the_quantile_stays_where_it_is() -> None:
    rng, hedging = random.Random(1), Hedging()
    took, plain, copies = [], [], 0
    for _ in range(4000):
        first, second = (rng.uniform(0.9, 1.1) + 20.0 * (rng.random() < 0.03) for _ in range(2))
        slow = hedging.start(0.0)
        copied = slow is not None and first > slow and hedging.copy()
        copies += copied
        ended = min(first, slow + second) if copied and slow is not None else first
        hedging.end(min(first, ended))
        plain.append(first)
        took.append(ended)
    place = int(0.98 * 4000)
    assert sorted(plain)[place] > 20
    assert sorted(took)[place] < 2.5
    assert copies <= 0.05 * 4000 + 1
    assert hedging.delay is not None
    assert 1.0 < hedging.delay < 2.5


@pytest.mark.parametrize("wrong", [{"quantile": 0}, {"quantile": 1}, {"budget": 0}, {"budget": 1.1}])
def test_impossible_settings_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        Hedging(**wrong)
