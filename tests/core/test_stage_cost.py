"""What calls of a stage are found to cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.stage_cost import ENOUGH, StageCost

costs = st.floats(1e-6, 10.0)


@given(costs, costs, st.lists(st.integers(1, 5000), min_size=ENOUGH, max_size=60))
def test_a_line_through_exact_calls_is_found(fixed: float, each: float, sizes: list[int]) -> None:
    cost = StageCost()
    for size in [*sizes, 1, 5000]:
        cost.observe(size, fixed + each * size)
    assert cost.known
    for size in (1, 100, 5000):
        assert cost.seconds(size) == pytest.approx(fixed + each * size, rel=0.02)


@given(st.lists(st.tuples(st.floats(0.1, 1e6), st.floats(0, 1e4)), max_size=80))
def test_no_part_is_ever_negative(calls: list[tuple[float, float]]) -> None:
    cost = StageCost()
    for items, seconds in calls:
        cost.observe(items, seconds)
        assert cost.fixed >= 0
        assert cost.each >= 0


def test_calls_of_one_size_leave_the_fixed_part_as_it_was() -> None:
    cost = StageCost()
    for size in (10, 1000, 10, 1000):
        cost.observe(size, 0.5 + 0.001 * size)
    for _ in range(500):  # by now the others are forgotten
        cost.observe(100, 0.6)
    assert cost.fixed == pytest.approx(0.5, rel=0.01)
    assert cost.seconds(100) == pytest.approx(0.6)


def test_what_changes_is_followed() -> None:
    cost = StageCost()
    for seconds_each in (0.001, 0.004):
        for place in range(200):
            cost.observe(50 + place, seconds_each * (50 + place))
    assert cost.each == pytest.approx(0.004, rel=0.05)


def test_few_calls_are_no_opinion() -> None:
    cost = StageCost()
    for place in range(ENOUGH - 1):
        cost.observe(place + 1, 1.0 + place)
    assert not cost.known
    cost.observe(9, 9.0)
    assert cost.known


def test_a_call_that_cannot_be_is_ignored() -> None:
    cost = StageCost()
    for items, seconds in ((0, 1.0), (-1, 1.0), (1, -1.0), (float("nan"), 1.0), (1, float("inf"))):
        cost.observe(items, seconds)
    assert cost.calls == 0


def test_what_was_known_goes_on_in_the_next_one() -> None:
    first = StageCost()
    for size in (10, 20, 400, 5):
        first.observe(size, 0.2 + 0.01 * size)
    second = StageCost(first.sums)
    assert (second.fixed, second.each, second.calls) == (first.fixed, first.each, first.calls)


@pytest.mark.parametrize("sums", [[1.0], [float("nan")] * 7, [-1.0] * 7, [1.0] * 8])
def test_what_is_no_record_of_costs_is_ignored(sums: list[float]) -> None:
    assert not StageCost(sums).known
