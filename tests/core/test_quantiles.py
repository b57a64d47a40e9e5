"""The sketch against a model that keeps every value."""

from __future__ import annotations

import math
import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tenire.core.quantiles import ERROR, LEAST, MOST_BUCKETS, QuantileSketch
from tenire.errors import ConfigError

VALUES = st.one_of(st.floats(0, 1e12), st.floats(1e-6, 10.0), st.sampled_from([0.0, LEAST, 1.0, 1e-12, 9e299]))
QS = (0.0, 0.01, 0.5, 0.9, 0.99, 1.0)


def agrees(sketch: QuantileSketch, values: list[float]) -> None:
    """Hold a sketch to its promise (rule 2) against the values themselves."""
    ordered = sorted(values)
    for q, found in sketch.quantiles(QS).items():
        true = ordered[math.floor(q * (len(ordered) - 1))]
        assert found is not None
        if true > sketch.exact_from:
            # What is below LEAST counts as zero; a bound of a bucket may be rounded to its neighbour.
            assert abs(found - true) <= sketch.error * true * (1 + 1e-6) + LEAST
        else:
            assert found <= sketch.exact_from * (1 + 1e-6)


class Sketches(RuleBasedStateMachine):
    """Two sketches that count, and are merged into each other."""

    @initialize(error=st.sampled_from([0.001, 0.01, 0.1]), most=st.sampled_from([2, 3, 16, 2048]))
    def start(self, error: float, most: int) -> None:
        self.sketches = [QuantileSketch(error, most=most) for _ in range(2)]
        self.values: list[list[float]] = [[], []]

    @rule(which=st.integers(0, 1), values=st.lists(VALUES, min_size=1, max_size=20), times=st.integers(1, 3))
    def add(self, which: int, values: list[float], times: int) -> None:
        for value in values:
            self.sketches[which].add(value, times)
            self.values[which] += [value] * times

    @rule(which=st.integers(0, 1))
    def merge(self, which: int) -> None:
        other = 1 - which
        self.sketches[which].merge(self.sketches[other])
        self.values[which] += self.values[other]
        self.sketches[other] = QuantileSketch(self.sketches[which].error, most=self.sketches[which]._most)
        self.values[other] = []

    @invariant()
    def true(self) -> None:
        for sketch, values in zip(getattr(self, "sketches", ()), getattr(self, "values", ()), strict=True):
            sketch.check()
            assert sketch.count == len(values)
            if values:
                assert (sketch.minimum, sketch.maximum) == (min(values), max(values))
                assert sketch.total == pytest.approx(sum(values))
                agrees(sketch, values)


TestSketches = Sketches.TestCase


@given(st.lists(VALUES, max_size=200), st.integers(1, 5))
def test_it_does_not_matter_which_sketch_a_value_went_to(values: list[float], parts: int) -> None:
    whole, merged = QuantileSketch(), QuantileSketch()
    for value in values:
        whole.add(value)
    for part in range(parts):
        sketch = QuantileSketch()
        for value in values[part::parts]:
            sketch.add(value)
        merged.merge(sketch)
    assert merged.quantiles(QS) == whole.quantiles(QS)
    assert merged._buckets == whole._buckets


def test_many_values_of_a_long_tail_stay_within_one_percent() -> None:
    rng = random.Random(1)
    values = [rng.lognormvariate(0, 3) for _ in range(200_000)]
    sketch = QuantileSketch()
    for value in values:
        sketch.add(value)
    agrees(sketch, values)
    assert len(sketch._buckets) < 1500


def test_too_many_buckets_cost_the_low_quantiles_only() -> None:
    sketch = QuantileSketch(most=64)
    values = [10.0 ** (power / 10) for power in range(-80, 80)]
    for value in values:
        sketch.add(value)
    sketch.check()
    assert 0 < sketch.exact_from < 1e8
    agrees(sketch, values)
    assert sketch.quantile(1.0) == max(values)


@pytest.mark.parametrize("merged", [False, True])
def test_buckets_are_folded_an_eighth_at_a_time_once_there_is_one_too_many(merged: bool) -> None:
    sketch = QuantileSketch(most=64)
    for power in range(65):
        assert (len(sketch._buckets), sketch.exact_from) == (power, 0.0)
        if merged:
            one = QuantileSketch(most=64)
            one.add(10.0**power)
            sketch.merge(one)
        else:
            sketch.add(10.0**power)
    assert len(sketch._buckets) == 64 - 8
    assert sketch.exact_from == pytest.approx(1e9, rel=0.02)
    assert sketch.quantile(10 / 64) == pytest.approx(1e10, rel=0.01)


def test_the_smallest_value_that_counts_is_found_and_what_is_below_is_nothing() -> None:
    sketch = QuantileSketch()
    for value in (LEAST, 1e-12, 2.0):
        sketch.add(value)
    assert (sketch._zeros, len(sketch._buckets)) == (1, 2)
    assert sketch.quantile(0.5) == pytest.approx(LEAST, rel=ERROR)
    assert (ERROR, LEAST, MOST_BUCKETS, QuantileSketch()._most) == (0.01, 1e-9, 2048, 2048)


def test_nothing_counted_has_no_quantiles() -> None:
    assert QuantileSketch().quantiles(QS) == dict.fromkeys(QS)


def test_a_copy_and_a_pickle_count_on_by_themselves() -> None:
    sketch = QuantileSketch()
    sketch.add(2.0, 3)
    twin, sent = sketch.copy(), pickle.loads(pickle.dumps(sketch))
    sketch.add(100.0)
    assert twin.quantile(1.0) == sent.quantile(1.0) == 2.0
    assert (twin.count, sent.count, sketch.count) == (3, 3, 4)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, -math.inf, 1e300])
def test_what_is_no_size_is_refused_and_changes_nothing(value: float) -> None:
    sketch = QuantileSketch()
    with pytest.raises(ConfigError, match="numbers from 0"):
        sketch.add(value)
    sketch.check()
    assert sketch.count == 0


def test_impossible_arguments_are_refused() -> None:
    for error in (0.0, 1.0, -0.1, math.nan):
        with pytest.raises(ConfigError, match="above 0 and below 1"):
            QuantileSketch(error)
    with pytest.raises(ConfigError, match="2 buckets"):
        QuantileSketch(most=1)
    for asked in (1.5, -0.5):
        with pytest.raises(ConfigError, match="0 to 1"):
            QuantileSketch().quantiles([0.5, asked])
    with pytest.raises(ConfigError, match="one error"):
        QuantileSketch(0.01).merge(QuantileSketch(0.02))
