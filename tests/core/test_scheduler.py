"""The scheduler's rules, case by case; its state machine is in test_scheduler_states."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tenire.core.history import ENOUGH
from tenire.core.tasks import RUNNING, Priority, State

if TYPE_CHECKING:
    from collections.abc import Callable


# -- what a task needs ---------------------------------------------------------


def test_tasks_that_needed_the_same_do_not_all_start_when_one_needs_more(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=2)
    first, second = engine.submit(cpu=1), engine.submit(cpu=1)
    second.pipeline.queue.renew(second, ((0, 2000),))
    assert engine.decide() == [first]
    engine.scheduler.finish(first, 1.0, State.DONE)
    assert engine.decide() == [second]


# -- dependencies ------------------------------------------------------------


def test_a_chain_of_two_hundred_thousand_fails_in_linear_time_without_recursion(machine: Callable[..., Any]) -> None:
    def seconds(length: int) -> float:
        engine = machine()
        first = before = engine.submit(cpu=1)
        for _ in range(length):
            before = engine.submit(after=[before])
        engine.decide()
        start = time.thread_time()  # not what others on a busy machine take
        engine.scheduler.finish(first, 1.0, State.FAILED)
        took = time.thread_time() - start
        assert len(engine.scheduler.doomed) == length
        assert engine.scheduler.queued == 0
        assert before.state == State.FAILED
        return took

    short = min(seconds(20_000) for _ in range(2))
    assert seconds(200_000) < 40 * short + 0.5, "ten times as long a chain takes about ten times as long"


def test_each_of_a_failed_chain_is_told_its_own_cause(machine: Callable[..., Any]) -> None:
    engine = machine()
    first = engine.submit(name="first")
    second = engine.submit(name="second", after=[first])
    third = engine.submit(name="third", after=[second, first, second])
    engine.decide()
    engine.scheduler.finish(first, 1.0, State.FAILED)
    reasons = {doom.task: (doom.cause, doom.reason) for doom in engine.scheduler.doomed}
    assert len(engine.scheduler.doomed) == 2
    assert reasons[second] == (first, "it waits for 'first', which failed")
    assert reasons[third][0] in (first, second)
    assert [(task.blockers, task.after) for task in (second, third)] == [(0, ())] * 2, "they wait for nothing more"


def test_a_task_after_a_cancelled_one_never_runs(machine: Callable[..., Any]) -> None:
    engine = machine()
    first = engine.submit(name="first", cpu=1)
    assert engine.scheduler.cancel(first, 0.0)
    second = engine.submit(after=[first])
    assert second.state == State.FAILED
    assert engine.scheduler.doomed[0].reason == "it waits for 'first', which was cancelled"
    assert engine.decide() == []


# -- deadlines -----------------------------------------------------------------


def test_a_task_does_not_start_at_its_deadline_or_later(machine: Callable[..., Any]) -> None:
    engine = machine()
    task = engine.submit(deadline=5.0)
    engine.now = 5.0
    assert engine.decide() == []
    assert task.state == State.FAILED
    assert engine.scheduler.doomed[0].reason == "it had not started by its deadline"


def test_a_running_task_at_its_deadline_is_told_and_left_to_the_caller(machine: Callable[..., Any]) -> None:
    engine = machine()
    task = engine.submit(cpu=1, deadline=5.0, seconds=9)
    engine.decide()
    engine.now = 5.0
    engine.decide()
    assert [(doom.task, doom.cause) for doom in engine.scheduler.doomed] == [(task, None)]
    assert task.state == RUNNING
    engine.decide()
    assert len(engine.scheduler.doomed) == 1, "told once"


def test_a_task_tried_again_after_its_deadline_does_not_start(machine: Callable[..., Any]) -> None:
    engine = machine()
    task = engine.submit(cpu=1, deadline=5.0)
    follower = engine.submit(after=[task])
    engine.decide()
    engine.now = 5.0
    engine.decide()  # told now: the heap knows nothing of it any more
    engine.scheduler.postpone(task, 5.0)
    engine.scheduler.release(task, 6.0)
    assert engine.decide() == []
    assert (task.state, follower.state) == (State.FAILED, State.FAILED)


@pytest.mark.parametrize("deadline", [0.1 + 0.2, 1e6 + 1 / 3, 12_345_678.901234567, 1e9 + 0.7])
def test_at_the_announced_time_the_deadline_has_really_come(machine: Callable[..., Any], deadline: float) -> None:
    for ulps in range(200):
        engine = machine()
        task = engine.submit(deadline=deadline + ulps * 1e-9)
        due = engine.scheduler.next_wake()
        assert due is not None
        engine.now = due
        engine.decide()
        assert task.state == State.FAILED


def test_a_finished_task_leaves_no_deadline_behind(machine: Callable[..., Any]) -> None:
    engine = machine()
    for _ in range(5000):
        engine.submit(deadline=1e6)
    waiting = engine.submit(cpu=1, seconds=99)
    engine.submit(after=[waiting], deadline=2e6)
    engine.decide()
    engine.scheduler.finish(waiting, 1.0, State.FAILED)
    engine.run(until=10)
    assert engine.scheduler.next_wake() is None
    assert len(engine.scheduler._expiry._heap._heap) <= 1001


@pytest.mark.parametrize("cpu", [0, 1])
def test_a_task_that_cannot_make_its_deadline_never_runs(machine: Callable[..., Any], cpu: int) -> None:
    engine = machine()
    for _ in range(ENOUGH):
        engine.submit(name="slow", cpu=cpu, seconds=10, deadline=1e9)
    engine.run()
    hopeless = engine.submit(name="slow", cpu=cpu, seconds=10, deadline=engine.now + 9.9)
    follower = engine.submit(cpu=cpu, after=[hopeless])
    just = engine.submit(name="slow", cpu=cpu, seconds=10, deadline=engine.now + 10)
    other = engine.submit(name="unknown", deadline=engine.now + 0.1)
    assert set(engine.decide()) == {just, other}
    assert (hopeless.state, follower.state) == (State.FAILED, State.FAILED)
    assert "it usually takes 10 s and only 9.9 s are left" in {doom.reason for doom in engine.scheduler.doomed}
    assert engine.admission.free[0] == 1000 * (1 - cpu)


def test_an_undisturbed_time_is_known_only_from_tasks_that_were_done(machine: Callable[..., Any]) -> None:
    engine = machine()
    for _ in range(ENOUGH):
        task = engine.submit(name="x", deadline=1e9)
        engine.decide()
        engine.scheduler.finish(task, engine.now + 50, State.FAILED)
    assert engine.scheduler.history.usual("x") is None


# -- tasks that need nothing ------------------------------------------------------


def test_tasks_that_need_nothing_all_start_however_the_pipelines_are_filled(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1, most=256)
    for number in range(16):
        engine.submit(f"p{number}", cpu=1)
        engine.submit(f"p{number}", cpu=1)
    for _ in range(1000):
        engine.submit("p3")
    assert len(engine.decide()) == 256 + 1, "the bound is used up by the one pipeline that can"
    assert [len(engine.decide()) for _ in range(3)] == [256, 256, 232]


def test_pipelines_start_tasks_that_need_nothing_in_equal_parts(machine: Callable[..., Any]) -> None:
    engine = machine(most=12)
    for name, number in (("a", 100), ("b", 100), ("c", 2)):
        for _ in range(number):
            engine.submit(name)
    names = [task.pipeline.name for task in engine.decide()]
    assert {name: names.count(name) for name in "abc"} == {"a": 5, "b": 5, "c": 2}


def test_with_more_pipelines_than_may_start_each_gets_one(machine: Callable[..., Any]) -> None:
    engine = machine(most=4)
    for number in range(20):
        engine.submit(f"p{number % 10}")
    names = [task.pipeline.name for task in engine.decide()]
    assert sorted(names) == [f"p{number}" for number in range(10)]


# -- counting -------------------------------------------------------------------


def test_a_task_to_come_counts_as_queued(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    tasks = [engine.submit("p", cpu=1) for _ in range(3)]
    engine.submit("q", after=tasks)
    assert engine.scheduler.queued == 4
    engine.run()
    assert (engine.scheduler.queued, engine.scheduler.running) == (0, 0)
    assert len(engine.started) == 4


# -- cost -------------------------------------------------------------------------


def decision_cost(machine: Callable[..., Any], *, queued: int = 10_000, starts: int = 2000) -> float:
    """Return seconds for one end and the decision that follows, with a full queue."""
    engine = machine(cpu=4, memory=1 << 30)
    for number in range(queued):
        engine.submit(f"p{number % 16}", cpu=1, memory=number % 3, priority=Priority(number % 5))
    scheduler = engine.scheduler
    running = scheduler.decide(0.0, 256)
    now = 0.0
    start = time.thread_time()
    for _ in range(starts):
        now += 0.01
        scheduler.finish(running.pop(0), now, State.DONE)
        running += scheduler.decide(now, 256)
    return (time.thread_time() - start) / starts


def test_a_decision_with_ten_thousand_queued_in_sixteen_pipelines_is_cheap(
    machine: Callable[..., Any], record_property: Callable[[str, object], None]
) -> None:
    full = min(decision_cost(machine) for _ in range(3))
    record_property("microseconds a decision", round(full * 1e6, 1))
    assert full < 2e-3, "the budget is 20 µs on a quiet machine, and ten times that with coverage"
    short = min(decision_cost(machine, queued=2500) for _ in range(3))
    assert full < 3 * short, "it does not grow with the queue"


def test_a_suspended_pipeline_starts_nothing_not_even_what_needs_nothing(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    held = [engine.submit("p", cpu=1), engine.submit("p")]
    other = engine.submit("q")
    held[0].pipeline.suspended = "unhealthy"
    assert engine.decide() == [other]
    held[0].pipeline.suspended = None
    assert set(engine.decide()) == set(held)
