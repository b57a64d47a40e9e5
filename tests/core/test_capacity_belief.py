"""The belief about a capacity."""

from __future__ import annotations

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.capacity_belief import CapacityBelief

NOISE = 0.03**2


def hinge(load: float, capacity: float, slope: float = 1.0) -> float:
    return slope * max(0.0, log(load) - log(capacity))


def measured(
    capacity: float, loads: list[int], rounds: int = 20, slope: float = 1.0, level: float = 0.0
) -> CapacityBelief:
    belief = CapacityBelief(1, 200)
    for _ in range(rounds):
        for load in loads:
            belief.observe(log(load), level + hinge(load, capacity, slope), NOISE, aim=log(loads[0]))
            belief.check()
    return belief


@pytest.mark.parametrize("capacity", [2, 5, 12, 40, 150])
def test_it_finds_the_knee_between_loads_below_and_above(capacity: int) -> None:
    loads = [capacity, max(1, round(capacity * 0.8)), round(capacity * 1.3) + 1]
    assert exp(measured(capacity, loads).mean) == pytest.approx(capacity, rel=0.15, abs=0.7)


@pytest.mark.parametrize("slope", [0.4, 2.5])
def test_a_steep_or_a_flat_slope_moves_it_little(slope: float) -> None:
    assert exp(measured(20, [20, 15, 28], slope=slope).mean) == pytest.approx(20, rel=0.25)


def test_without_a_queue_the_capacity_is_not_below_the_load() -> None:
    belief = measured(10**6, [10, 13, 16])
    assert belief.mean > log(16)
    assert belief.overloaded < 0.1


def test_with_a_queue_at_every_load_the_capacity_is_below() -> None:
    belief = measured(4, [20, 15, 26])
    assert belief.mean < log(15)
    assert belief.overloaded > 0.5


def test_a_level_that_drifts_is_no_queue() -> None:
    belief = CapacityBelief(1, 200)
    for step in range(120):
        load = (12, 9, 15)[step % 3]
        assert not belief.observe(log(load), 0.01 * step + hinge(load, 12), NOISE, aim=log(12))
    assert exp(belief.mean) == pytest.approx(12, rel=0.15)


def test_where_measurements_are_noisy_the_level_may_move_faster() -> None:
    def uncertainty(noise: float) -> float:
        belief = CapacityBelief(1, 200)
        for _ in range(50):
            belief.observe(log(12), 0.0, noise, aim=log(12))
        return belief._uncertainty / noise

    # What is settled between what moves and what is measured (the steady state of the filter).
    assert uncertainty(1e-4) == pytest.approx(0.76, abs=0.02)
    assert uncertainty(0.0025) == pytest.approx(0.39, abs=0.01)
    assert uncertainty(0.09) == pytest.approx(0.095, abs=0.01)


def test_evidence_fades_towards_the_aim() -> None:
    belief = measured(12, [12, 9, 16])
    sure = belief.spread
    for _ in range(200):
        belief.observe(log(12), 0.0, 1.0, aim=log(12))  # says nothing
    assert belief.spread > 2 * sure
    middle = belief.mean
    for _ in range(200):
        belief.observe(log(12), 0.0, 1.0, aim=log(12), doubt=0.5)
    assert belief.mean < middle - 0.2


def test_one_outlier_is_no_proof() -> None:
    belief = CapacityBelief(1, 200)
    for _ in range(6):
        for load in (12, 9, 16):
            belief.observe(log(load), hinge(load, 12), 0.1**2, aim=log(12))
    before = belief.mean
    assert not belief.observe(log(16), 0.0, 1e-6, aim=log(12)), "some hypotheses foretold that"
    assert abs(belief.mean - before) < 0.02


def test_what_nobody_foretold_is_told_and_leaves_both_explanations_open() -> None:
    belief = measured(12, [12, 9, 16])
    sure = belief.spread
    assert belief.observe(log(12), log(3.0), NOISE, aim=log(12))
    belief.check()
    assert belief.spread > 3 * sure
    slower, fewer = (measured(12, [12, 9, 16]) for _ in range(2))
    for _ in range(15):
        for load in (12, 9, 16):
            slower.observe(log(load), log(3.0) + hinge(load, 12), NOISE, aim=log(12))
            fewer.observe(log(load), hinge(load, 4), NOISE, aim=log(9))
    assert exp(slower.mean) == pytest.approx(12, rel=0.2)
    assert fewer.mean < log(9)


def test_the_first_measurement_is_no_surprise() -> None:
    belief = CapacityBelief(1, 10)
    assert not belief.known
    assert not belief.observe(log(4), 100.0, NOISE, aim=log(4))
    assert belief.known
    assert not belief.observe(log(4), 100.0, NOISE, aim=log(4))


MEASURED = st.lists(st.tuples(st.integers(1, 300), st.floats(-25, 15), st.floats(1e-8, 10), st.integers(1, 300)))


@given(MEASURED)
def test_whatever_is_measured_the_rules_hold(steps: list[tuple[int, float, float, int]]) -> None:
    belief = CapacityBelief(1, 200)
    for load, time, noise, aim in steps:
        belief.observe(log(load), time, noise, aim=log(aim))
        belief.check()
        assert log(0.8) < belief.mean < log(290)


def test_the_check_sees_weights_without_a_likeliest() -> None:
    belief = measured(12, [12, 9])
    belief._weights = [1.0 for _ in belief._weights]
    with pytest.raises(AssertionError):
        belief.check()


def test_what_it_believes_is_the_same_to_four_digits_whoever_rewrites_it() -> None:
    belief = CapacityBelief(1, 200)
    assert (belief.known, belief.mean, belief.spread, belief.overloaded) == (False, 0.0, 1.0, 0.0)
    believed = []
    for load, time in ((4, 0.0), (6, 0.01), (4, -0.01), (8, 0.3), (6, 0.02), (4, 0.9), (4, 0.92), (6, 1.3)):
        surprise = belief.observe(log(load), time, NOISE, aim=log(6))
        believed.append((surprise, belief.mean, belief.spread, belief.overloaded))
    assert [surprise for surprise, *_ in believed] == [False] * 5 + [True, False, False]
    assert [belief for _, *belief in believed] == [
        pytest.approx(numbers, abs=6e-5)
        for numbers in (
            (2.7206, 1.6834, 0.0625), (3.5672, 1.1213, 0.0510), (3.4766, 1.0897, 0.0410), (2.4503, 1.0931, 0.0339),
            (1.7639, 0.3006, 0.0272), (1.9186, 0.4941, 0.0230), (1.9318, 0.5045, 0.0199), (1.9024, 0.5599, 0.0242),
        )
    ]  # fmt: skip
