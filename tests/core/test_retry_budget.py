"""What retries may cost all together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.retry_budget import RetryBudget


@given(st.lists(st.booleans(), max_size=300), st.sampled_from([0.0, 0.1, 0.5, 2.0]), st.integers(0, 12))
def test_retries_are_never_more_than_the_ratio_of_first_tries_and_the_reserve(
    steps: list[bool], ratio: float, reserve: int
) -> None:
    budget = RetryBudget(ratio=ratio, reserve=reserve)
    first = retries = 0
    for is_first in steps:
        if is_first:
            budget.earn()
            first += 1
        else:
            affordable = budget.balance >= 1
            assert budget.spend() == affordable
            retries += affordable
        budget.check()
        assert retries <= ratio * first + reserve + 1e-9


def test_ten_first_tries_bring_in_one_retry_exactly() -> None:
    budget = RetryBudget(ratio=0.1, reserve=0)
    for _ in range(9):
        budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()
    assert budget.balance == 0


def test_what_is_saved_up_is_bounded() -> None:
    budget = RetryBudget(ratio=1.0, reserve=0, cap=3)
    for _ in range(1000):
        budget.earn()
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("wrong", [{"ratio": -0.1}, {"ratio": float("inf")}, {"reserve": -1}, {"reserve": 5, "cap": 4}])
def test_impossible_settings_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        RetryBudget(**wrong)
