"""The load index and its levels."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.load import FALL, MACHINE, OWN, QUEUE, RISE, Hysteresis, Level, LoadIndex, Reading, Thresholds, judge

NEVER = float("inf")
LEVELS = st.lists(st.integers(0, 3), max_size=40)
ALL = MACHINE | OWN | QUEUE


@pytest.mark.parametrize(
    ("value", "index"),
    [
        (-1, 0),
        (0, 0),
        (1, 0.125),
        (2, 0.25),
        (3, 0.375),
        (4, 0.5),
        (6, 0.625),
        (8, 0.75),
        (10, 0.875),
        (12, 1),
        (99, 1),
    ],
)
def test_a_signal_lies_on_the_scale_by_its_thresholds(value: float, index: float) -> None:
    assert Thresholds(2, 4, 8).index(value) == index


def test_beyond_every_threshold_the_load_is_full_even_if_infinite() -> None:
    assert Thresholds(2, 4, 8).index(NEVER) == 1


def test_a_signal_that_never_gets_that_bad_stays_below() -> None:
    assert Thresholds(1, NEVER, NEVER).index(NEVER) == 0.25
    assert Thresholds(1, 2, NEVER).index(1000) == 0.5


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.sampled_from(sorted(ALL)))
def test_more_of_a_signal_is_never_less_load(one: float, other: float, name: str) -> None:
    low, high = sorted((one, other))
    assert 0 <= ALL[name].index(low) <= ALL[name].index(high) <= 1


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_signal_reaches_a_level_exactly_at_its_threshold(name: str) -> None:
    limits = ALL[name]
    for level, threshold in enumerate((limits.elevated, limits.high, limits.critical)):
        if threshold != NEVER:
            assert judge({name: threshold}, ALL).level == level + 1
            assert judge({name: threshold * 0.999}, ALL).level == level


def test_the_worst_signal_counts_and_is_named() -> None:
    reading = judge({"memory_used": 0.5, "heat": 1.0, "foreign_cpu": 0.4}, MACHINE)
    assert (reading.signal, reading.value, reading.level) == ("heat", 1.0, Level.HIGH)


def test_of_two_equally_bad_signals_one_stays_named() -> None:
    assert judge({"foreign_cpu": 0.3, "battery": 1.0}, MACHINE).signal == "foreign_cpu"


@pytest.mark.parametrize("missing", [{}, {"heat": None}, {"heat": float("nan")}, {"unheard_of": 9.0}])
def test_a_missing_signal_is_left_out(missing: dict[str, float | None]) -> None:
    assert judge(missing, MACHINE) == Reading(None)
    assert judge(missing, MACHINE).level == Level.NORMAL
    assert judge({"battery": 1.0, **missing}, MACHINE).signal == "battery"


def test_the_thresholds_are_those_of_the_manual() -> None:
    assert (RISE, FALL) == (2, 10)
    assert {name: (limits.elevated, limits.high, limits.critical) for name, limits in ALL.items()} == {
        "foreign_cpu": (0.3, 0.6, NEVER),
        "cpu_pressure": (0.2, 0.4, NEVER),
        "memory_used": (0.90, 0.95, 0.98),
        "memory_some": (0.10, 0.25, 0.50),
        "memory_full": (0.05, 0.15, 0.40),
        "memory_warning": (2, 3, 4),
        "battery": (1, 2, NEVER),
        "heat": (0.94, 1.0, 1.08),
        "queue_wait": (0.02, 0.2, 2),
        "loop_lag": (0.025, 0.1, 0.5),
        "io_full": (0.4, NEVER, NEVER),
    }


@pytest.mark.parametrize("record", [Reading(0.5), Thresholds(1, 2, 3)])
def test_what_is_handed_out_cannot_be_changed(record: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(record, fields(record)[0].name, 1)
    assert not hasattr(record, "__dict__")


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_signal_can_be_told_to_people(name: str) -> None:
    text = str(judge({name: 0.5}, ALL))
    assert " " in text
    assert "{" not in text


def test_what_a_reading_says_names_the_figure() -> None:
    assert str(judge({"foreign_cpu": 0.5}, ALL)) == "other programs use 50% of the processor"
    assert str(judge({}, ALL)) == "nothing is known of the load"


@given(LEVELS)
def test_the_level_lies_between_what_all_of_the_last_samples_say(samples: list[int]) -> None:
    hysteresis = Hysteresis()
    seen: list[int] = []
    for sample in samples:
        before = hysteresis.value
        seen.append(sample)
        value = hysteresis.observe(sample)
        hysteresis.check()
        if value > before:
            assert min(seen[-RISE:]) == value
            assert len(seen) >= RISE
        if value < before:
            assert max(seen[-FALL:]) == value
            assert len(seen) >= FALL
        if len(seen) >= FALL:
            assert min(seen[-RISE:]) <= value <= max(seen[-FALL:])


def test_one_sample_alone_moves_nothing() -> None:
    hysteresis = Hysteresis()
    assert [hysteresis.observe(sample) for sample in (3, 0, 3, 0, 3)] == [0, 0, 0, 0, 0]


def test_two_samples_raise_and_ten_lower() -> None:
    hysteresis = Hysteresis()
    assert [hysteresis.observe(3), hysteresis.observe(2)] == [0, 2]
    assert [hysteresis.observe(0) for _ in range(FALL)] == [2] * (FALL - 1) + [0]


def test_a_relapse_begins_the_count_anew() -> None:
    hysteresis = Hysteresis(2)
    samples = [0] * (FALL - 1) + [2] + [0] * (FALL - 1)
    assert {hysteresis.observe(sample) for sample in samples} == {2}


@pytest.mark.parametrize("value", [-1, 2])
def test_the_check_sees_a_level_that_does_not_follow(value: int) -> None:
    hysteresis = Hysteresis()
    for _ in range(FALL):
        hysteresis.observe(1 if value < 0 else 0)
    hysteresis.value = value
    with pytest.raises(AssertionError):
        hysteresis.check()


def test_the_checks_pass_before_there_is_a_sample() -> None:
    Hysteresis(3).check()
    LoadIndex(MACHINE).check()


SAMPLES = st.lists(
    st.dictionaries(st.sampled_from(["foreign_cpu", "memory_used", "heat"]), st.none() | st.floats(0, 2)), max_size=30
)


@given(SAMPLES)
def test_the_index_keeps_its_rules_whatever_comes(samples: list[dict[str, float | None]]) -> None:
    load = LoadIndex(MACHINE)
    for signals in samples:
        assert load.observe(signals) == load.level
        load.check()


def test_the_cause_is_the_latest_sample_that_was_as_bad_as_the_level() -> None:
    load = LoadIndex(MACHINE)
    assert load.cause is None
    load.observe({"memory_used": 0.99})
    load.observe({"heat": 1.01})
    assert load.level == Level.HIGH
    assert load.cause is not None
    assert load.cause.signal == "heat"
    load.observe({"battery": 1.0})  # less bad: it is not why
    assert load.cause.signal == "heat"
    load.observe({"foreign_cpu": 0.9})
    assert load.cause.signal == "foreign_cpu"


def test_when_the_level_falls_a_bit_the_cause_is_that_of_the_lower_level() -> None:
    load = LoadIndex(MACHINE)
    for _ in range(2):
        load.observe({"memory_used": 0.99})
    load.observe({"battery": 1.0})
    for _ in range(FALL - 1):
        load.observe({})
    assert load.level == Level.ELEVATED
    assert load.cause is not None
    assert load.cause.signal == "battery"
    load.observe({})
    assert load.level == Level.NORMAL
    assert load.cause is None


def test_the_check_sees_a_cause_that_is_missing() -> None:
    load = LoadIndex(MACHINE)
    for _ in range(2):
        load.observe({"heat": 1.0})
    load.cause = None
    with pytest.raises(AssertionError):
        load.check()
