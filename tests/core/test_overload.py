"""Who steps aside when urgent work waits too long, against the rules from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenire.core.fair_share import PipelineShare
from tenire.core.overload import BATCH_TARGET_S, INTERACTIVE_TARGET_S, WINDOW_S, OverloadControl
from tenire.core.tasks import Priority, Task

if TYPE_CHECKING:
    from .conftest import Machine

WINDOWS = st.lists(
    st.lists(st.tuples(st.sampled_from(Priority), st.sampled_from([0.0, 0.01, 0.05, 1.0, 5.0])), max_size=4),
    max_size=60,
)


def windows(control: OverloadControl, waits: list[tuple[Priority, float]], number: int, start: float = 0.0) -> float:
    """Start tasks with these waits in each of several windows; return the time after them."""
    now = start
    control.advance(now)
    for _ in range(number):
        for priority, wait in waits:
            control.started(priority, wait, 0.0)
        now += WINDOW_S
        control.advance(now)
    return now


@given(WINDOWS)
def test_the_limits_follow_the_waits_of_each_window(history: list[list[tuple[Priority, float]]]) -> None:
    control, now = OverloadControl(), 0.0
    control.advance(now)
    share, lowest, late, calm = 1.0, 4, 0, 0
    for starts in history:
        for priority, wait in starts:
            control.started(priority, wait, 0.1)
            control.advance(now + 0.99)
        now += 1.0
        control.advance(now)
        urgent = [wait for priority, wait in starts if priority <= 1]
        batch = [wait for priority, wait in starts if priority in (2, 3)]
        assert control.interactive_wait == (pytest.approx(sum(urgent) / len(urgent)) if urgent else None)
        assert control.batch_wait == (pytest.approx(sum(batch) / len(batch)) if batch else None)
        share = max(0.5, share - 0.05) if urgent and sum(urgent) / len(urgent) > 0.02 else min(1.0, share + 0.01)
        if (batch and sum(batch) / len(batch) > 2.0) or (urgent and sum(urgent) / len(urgent) > 0.2):
            late, calm = late + 1, 0
            if late == 3:
                late, lowest = 0, max(2, lowest - 1)
        else:
            late, calm = 0 if batch else late, calm + 1
            if calm == 10:
                late, calm, lowest = 0, 0, min(4, lowest + 1)
        assert control.batch_share == pytest.approx(share)
        assert control.lowest == lowest
        control.check()


FAR_LATE = [(Priority.HIGH, 0.21), (Priority.NORMAL, 0.0)]
LATE, IN_TIME = [(Priority.NORMAL, 100.0)], [(Priority.NORMAL, 0.0)]
NONE: list[tuple[Priority, float]] = []


def test_a_class_goes_last_for_each_three_late_windows_in_a_row() -> None:
    control, now, lowest = OverloadControl(), 0.0, []
    for waits in [LATE] * 2 + [IN_TIME] + [LATE] * 9:
        now = windows(control, waits, 1, now)
        lowest.append(control.lowest)
    idle, low, normal = Priority.IDLE, Priority.LOW, Priority.NORMAL
    assert lowest == [idle] * 5 + [low] * 3 + [normal] * 4


def test_classes_go_last_also_for_urgent_work_that_waits_for_ten_times_its_target() -> None:
    control, lowest = OverloadControl(), []
    now = windows(control, [(Priority.HIGH, 0.2)], 20)
    assert (control.lowest, control.in_words()) == (Priority.IDLE, None)
    for waits in [FAR_LATE] * 7 + [NONE] * 20:
        now = windows(control, waits, 1, now)
        lowest.append(control.lowest)
        if len(lowest) == 7:
            assert control.in_words() == "urgent work waited 210 ms on average, so idle and low work goes last"
    idle, low, normal = Priority.IDLE, Priority.LOW, Priority.NORMAL
    assert lowest == [idle] * 2 + [low] * 3 + [normal] * 11 + [low] * 10 + [idle]


def test_a_class_comes_back_after_each_ten_windows_in_a_row_in_time() -> None:
    control, lowest = OverloadControl(), []
    now = windows(control, LATE, 6)
    for waits in [IN_TIME] * 9 + [LATE] + [IN_TIME] * 20:
        now = windows(control, waits, 1, now)
        lowest.append(control.lowest)
    assert lowest == [Priority.NORMAL] * 19 + [Priority.LOW] * 10 + [Priority.IDLE]


@pytest.mark.parametrize(
    ("between", "last"),
    [([], Priority.NORMAL), ([NONE], Priority.NORMAL), ([NONE] * 9, Priority.NORMAL), ([NONE] * 10, Priority.IDLE),
     ([IN_TIME], Priority.IDLE), ([NONE] * 4 + [IN_TIME] + [NONE] * 4, Priority.IDLE)],
)  # fmt: skip
def test_tasks_that_take_longer_than_a_window_can_be_late_too(
    between: list[list[tuple[Priority, float]]], last: Priority
) -> None:
    control, now = OverloadControl(), 0.0
    for waits in [LATE, *between] * 6:
        now = windows(control, waits, 1, now)
        if waits is LATE:
            lowest = control.lowest
    assert lowest == last


@given(
    st.lists(
        st.tuples(st.sampled_from(Priority), st.sampled_from([0.0, 0.0625, 0.5, 2.0, 8.0])), min_size=1, max_size=12
    ),
    st.sampled_from([0.0, 0.125]),
    st.sampled_from([0.0, 14.0]),
)
def test_several_that_start_together_count_as_one_after_the_other(
    starts: list[tuple[Priority, float]], share: float, since: float
) -> None:
    together, singly, now = OverloadControl(), OverloadControl(), 16.0
    tasks = []
    for priority, wait in starts:
        task = Task(PipelineShare("p"), priority=priority)
        task.ready_at = now - wait
        tasks.append(task)
    for control in (together, singly):
        control.advance(now)
    together.all_started(tasks, now, share, since=since)
    for priority, wait in starts:
        singly.started(priority, min(wait, now - since), share)
    assert together.batch_held == singly.batch_held
    for control in (together, singly):
        control.advance(now + WINDOW_S)
    assert together.interactive_wait == singly.interactive_wait
    assert together.batch_wait == singly.batch_wait


@pytest.mark.parametrize(("wait", "held"), [(0.019, False), (0.021, True)])
def test_urgent_work_should_wait_for_20_milliseconds_at_most(wait: float, *, held: bool) -> None:
    control = OverloadControl()
    windows(control, [(Priority.HIGH, wait)], 1)
    assert (control.batch_share < 1.0) == held


@pytest.mark.parametrize(("wait", "last"), [(1.9, Priority.IDLE), (2.1, Priority.LOW)])
def test_batch_work_should_wait_for_2_seconds_at_most(wait: float, last: Priority) -> None:
    control = OverloadControl()
    windows(control, [(Priority.LOW, wait)], 3)
    assert control.lowest == last


def test_a_mean_of_exactly_the_target_is_in_time() -> None:
    control = OverloadControl()
    windows(control, [(Priority.HIGH, INTERACTIVE_TARGET_S), (Priority.NORMAL, BATCH_TARGET_S)], 5)
    assert (control.batch_share, control.lowest) == (1.0, Priority.IDLE)


def test_normal_work_is_never_held() -> None:
    control = OverloadControl()
    now = windows(control, [(Priority.NORMAL, 100.0)], 50)
    assert control.lowest == Priority.NORMAL
    windows(control, [], 9, now)
    assert control.lowest == Priority.NORMAL
    windows(control, [], 10, now)
    assert control.lowest == Priority.LOW


def test_what_batch_work_holds_is_counted_and_one_of_it_always_may() -> None:
    control = OverloadControl()
    assert control.room() == 1.0
    control.batch_share = 0.6
    assert control.room() == 1.0, "nothing of it runs"
    control.started(Priority.NORMAL, 0.0, 0.5)
    assert control.room() == pytest.approx(0.1)
    control.started(Priority.HIGH, 0.0, 0.5)
    assert control.room() == pytest.approx(0.1)


@pytest.mark.parametrize(("field", "value"), [("batch_share", 0.4), ("batch_held", -1.0), ("lowest", Priority.HIGH)])
def test_the_check_sees_a_limit_out_of_bounds(field: str, value: float) -> None:
    control = OverloadControl()
    setattr(control, field, value)
    with pytest.raises(AssertionError):
        control.check()


def waited(machine: Machine) -> tuple[float | None, float | None]:
    overload = machine.scheduler.overload
    machine.now += WINDOW_S
    overload.advance(machine.now)
    return overload.interactive_wait, overload.batch_wait


def test_waiting_for_a_rate_says_nothing_about_the_machine(machine: type[Machine]) -> None:
    engine = machine(cpu=4)
    engine.admission.register_rate("calls", per_second=1.0, burst=1)
    engine.scheduler.overload.advance(0.0)
    for priority in (Priority.HIGH, Priority.NORMAL):
        engine.submit(cpu=1, other={"calls": 1}, priority=priority, seconds=0.0)
        engine.submit(cpu=1, other={"calls": 1}, priority=priority, seconds=99.0)
    for engine.now in (0.0, 1.0, 2.0, 3.0):
        engine.step(until=engine.now)
    assert len(engine.started) == 4
    assert waited(engine) == (None, None)
    assert engine.scheduler.overload.batch_held == pytest.approx(0.25), "what it holds counts all the same"


@pytest.mark.parametrize("number", [1, 3])
def test_the_time_in_which_its_pipeline_was_to_start_nothing_does_not_count(
    machine: type[Machine], number: int
) -> None:
    engine = machine(cpu=4)
    pipeline = engine.scheduler.shares.pipeline("p")
    pipeline.suspend("paused", 0.0)
    for _ in range(number):
        engine.submit("p", cpu=1, seconds=9.0)
    engine.now = 600.0
    engine.scheduler.overload.advance(engine.now)
    pipeline.suspend(None, engine.now)
    engine.now += 0.25
    assert len(engine.decide()) == number
    assert waited(engine) == (None, pytest.approx(0.25))
