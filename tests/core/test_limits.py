"""Less than there is may be held for now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import Machine

from tenire.core.admission import CPU, MEMORY
from tenire.core.tasks import CPU_UNIT, Priority, Resources


def test_fewer_start_but_nobody_is_refused() -> None:
    engine = Machine(cpu=4)
    engine.scheduler.selection.limits[CPU] = 2 * CPU_UNIT
    for _ in range(6):
        engine.submit(cpu=1)
    assert len(engine.decide()) == 2
    assert engine.scheduler.needs(Resources(cpu=4), task="wide")
    engine.scheduler.selection.limits.clear()
    assert len(engine.decide()) == 2


def test_the_widest_task_runs_too_alone() -> None:
    engine = Machine(cpu=4)
    engine.scheduler.selection.limits[CPU] = CPU_UNIT
    small = [engine.submit("small", cpu=1) for _ in range(20)]
    wide = engine.submit("wide", cpu=4)
    assert engine.run_until_started(wide) < 10
    engine.run()
    assert len(engine.started) == len(small) + 1


def test_with_no_memory_to_give_one_at_a_time_goes_on() -> None:
    engine = Machine(cpu=4, memory=100)
    engine.scheduler.selection.limits[MEMORY] = 0
    for _ in range(3):
        engine.submit(memory=10)
    engine.submit("other", cpu=1)
    assert sorted(task.pipeline.name for task in engine.decide()) == ["default", "other"]
    engine.run()
    assert len(engine.started) == 4


@given(
    st.lists(st.tuples(st.sampled_from([0.5, 1, 2, 4]), st.sampled_from("ab"), st.integers(0, 4)), max_size=20),
    st.sampled_from([0, 1, 2, 3]),
)
def test_no_more_than_the_limit_is_held_and_everything_runs(tasks: list[tuple[float, str, int]], limit: int) -> None:
    engine = Machine(cpu=4)
    engine.scheduler.selection.limits[CPU] = limit * CPU_UNIT
    for cpu, pipeline, priority in tasks:
        engine.submit(pipeline, cpu=cpu, priority=Priority(priority))
    while True:
        engine.decide()
        held = engine.admission.capacity[CPU] - engine.admission.free[CPU]
        assert held <= limit * CPU_UNIT or len(engine.running) == 1
        assert held or not engine.scheduler.queued
        engine.scheduler.check(engine.running)
        if not engine.step():
            break
    assert len(engine.started) == len(tasks)
