"""The ladder of levels."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.degradation import HOLD_S, MEASURES, Degradation, Measures, Move
from tenire.core.load import Level
from tenire.core.tasks import Priority

STEPS = st.lists(st.tuples(st.sampled_from([0.0, 1.0, 10.0, HOLD_S, 100.0]), st.sampled_from(Level)))


@given(STEPS)
def test_levels_are_entered_in_order_at_once_and_left_one_at_a_time(steps: list[tuple[float, Level]]) -> None:
    ladder, now, stack = Degradation(), 0.0, [Level.NORMAL]
    moved_at: float | None = None
    for seconds, wanted in steps:
        now += seconds
        moves = ladder.observe(wanted, now)
        left = [move for move in moves if not move.entered]
        assert len(left) <= 1
        assert not left or len(moves) == 1
        for move in moves:
            if move.entered:
                assert move.level == stack[-1] + 1
                stack.append(move.level)
            else:
                assert move.level == stack.pop()
                assert moved_at is None or now >= moved_at + HOLD_S
        if moves:
            moved_at = now
        assert ladder.level == stack[-1]
        assert ladder.level >= wanted  # never late to enter
        assert ladder.level == wanted or now < ladder.leave_at or left


def test_what_has_recovered_goes_back_a_step_each_half_minute() -> None:
    ladder = Degradation()
    assert [move.level for move in ladder.observe(Level.CRITICAL, 100.0)] == [1, 2, 3]
    assert ladder.observe(Level.NORMAL, 100.0 + HOLD_S - 0.1) == []
    assert ladder.observe(Level.NORMAL, 100.0 + HOLD_S) == [Move(Level.CRITICAL, entered=False)]
    assert ladder.leave_at == 100.0 + 2 * HOLD_S
    assert ladder.observe(Level.NORMAL, ladder.leave_at - 0.1) == []
    assert ladder.observe(Level.NORMAL, ladder.leave_at) == [Move(Level.HIGH, entered=False)]
    assert ladder.observe(Level.NORMAL, ladder.leave_at) == [Move(Level.ELEVATED, entered=False)]
    assert ladder.observe(Level.NORMAL, 1e9) == []


def test_a_relapse_on_the_way_back_is_entered_at_once_and_holds_anew() -> None:
    ladder = Degradation()
    ladder.observe(Level.HIGH, 0.0)
    ladder.observe(Level.NORMAL, HOLD_S)
    assert ladder.observe(Level.HIGH, HOLD_S + 1) == [Move(Level.HIGH, entered=True)]
    assert ladder.observe(Level.NORMAL, 2 * HOLD_S) == []
    assert ladder.observe(Level.NORMAL, 2 * HOLD_S + 1) == [Move(Level.HIGH, entered=False)]


def test_each_level_leaves_out_more_and_none_stops_normal_work() -> None:
    ladder = Degradation()
    measures = [ladder.measures]
    for level in list(Level)[1:]:
        ladder.observe(level, 0.0)
        measures.append(ladder.measures)
    assert tuple(measures) == MEASURES
    assert [each.burst for each in measures] == [True, False, False, False]
    assert [each.lowest_class for each in measures] == [
        Priority.IDLE, Priority.IDLE, Priority.LOW, Priority.NORMAL,
    ]  # fmt: skip


def test_at_the_start_there_is_nothing_to_leave() -> None:
    ladder = Degradation()
    assert (ladder.level, ladder.leave_at, HOLD_S) == (Level.NORMAL, 0.0, 30.0)


@pytest.mark.parametrize("record", [Move(Level.HIGH, entered=True), Measures(burst=True, lowest_class=4)])
def test_what_is_handed_out_cannot_be_changed(record: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(record, fields(record)[0].name, 1)
    assert not hasattr(record, "__dict__")
