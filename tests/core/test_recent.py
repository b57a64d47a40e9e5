"""The last values of one kind, against a model that keeps them all."""

from __future__ import annotations

import math
from array import array
from statistics import median, quantiles

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenire.core.recent import ENOUGH, KEPT, Recent

VALUES = st.floats(0, 1e6)


def filled(values: list[float]) -> Recent:
    recent = Recent()
    for value in values:
        recent.add(value)
        recent.check()
    return recent


@given(st.lists(VALUES, max_size=4 * KEPT))
@example([float(number) for number in range(KEPT)])
@example([float(number) for number in range(2 * KEPT)])
def test_the_last_ones_are_kept_and_old_ones_are_not(values: list[float]) -> None:
    kept = list(filled(values).values())
    assert min(len(values), KEPT) <= len(kept) < 2 * KEPT
    assert kept == values[len(values) - len(kept) :]


@given(st.lists(VALUES, min_size=ENOUGH, max_size=2 * KEPT - 1), st.sampled_from([0.0, 0.05, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_exact_for_the_values_kept(values: list[float], q: float) -> None:
    recent = filled(values)
    kept = list(recent.values())
    expected = {0.0: min(kept), 0.5: median(kept), 1.0: max(kept)}.get(q)
    if expected is None:
        # The standard library's own: "inclusive" is the same type 7.
        expected = quantiles(kept, n=100, method="inclusive")[round(q * 100) - 1]
    found = recent.quantile(q)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert min(kept) <= found <= max(kept)


@given(st.lists(VALUES, max_size=ENOUGH - 1))
def test_there_is_no_quantile_of_too_few(values: list[float]) -> None:
    recent = filled(values)
    assert recent.quantile(0.5) is None


@given(st.lists(VALUES, max_size=3 * KEPT))
def test_a_typical_value_lacks_at_most_the_newest_eighth(values: list[float]) -> None:
    recent = Recent()
    known: list[float | None] = [None]  # the median as it was after each value
    for value in values:
        recent.add(value)
        known.append(recent.quantile(0.5))
        typical = recent.typical if recent.count < recent.due else recent.refresh(0.5)
        recent.check()
        kept = len(recent.values())
        newest = max(1, kept // 8)
        assert typical in known[-newest - 1 :]
        if recent.count <= 2 * ENOUGH:
            assert typical == known[-1], "few values are not waited for"


@given(VALUES, VALUES, st.integers(1, 4 * KEPT))
def test_after_as_many_values_of_a_new_kind_the_median_is_theirs(old: float, new: float, before: int) -> None:
    recent = filled([old] * before)
    for _ in range(KEPT):
        recent.add(new)
    assert recent.quantile(0.5) in (new, (old + new) / 2, old + (new - old) / 2)
    recent.add(new)
    assert recent.quantile(0.5) == new


@given(st.lists(VALUES, max_size=2 * KEPT - 1), st.lists(VALUES, max_size=3 * KEPT))
@example([1.0] * (2 * KEPT - 1), [2.0] * (2 * KEPT - 1))
@example([1.0] * KEPT, [2.0] * (KEPT // 2))
def test_values_of_an_earlier_time_come_before(earlier: list[float], now: list[float]) -> None:
    recent = filled(now)
    kept = list(recent.values())
    recent.refresh(0.5)
    recent.put_before(array("d", earlier), len(earlier))
    recent.check()
    both = earlier + kept
    assert list(recent.values()) == both[-2 * KEPT + 1 :]
    assert recent.count == len(earlier) + len(now)
    if recent.count >= ENOUGH:
        assert recent.due <= recent.count, "what was remembered before is out of date"
        assert recent.refresh(0.5) == recent.quantile(0.5)


def test_ten_values_spread_over_nine_powers_of_ten_are_told_without_loss() -> None:
    recent = filled([10.0**power for power in range(-6, 3)])
    for number, power in enumerate(range(-6, 3)):
        found = recent.quantile(number / 8)
        assert found is not None
        assert math.isclose(found, 10.0**power)


def test_of_few_values_the_typical_one_is_worked_out_once_for_each_that_comes() -> None:
    recent = filled([1.0] * ENOUGH)
    recent.refresh(0.5)
    assert recent.due == recent.count + 1
