"""The gate that is named is the one that holds the task back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tenire.core.admission import CPU, MEMORY
from tenire.core.degradation import Causes
from tenire.core.explain import GATES, Gate, why
from tenire.core.tasks import CPU_UNIT, Priority, State

if TYPE_CHECKING:
    from collections.abc import Callable


def gate(engine: Any, task: Any) -> Gate:
    found = why(engine.scheduler, task, engine.now)
    assert found.name in GATES
    assert found.reason
    assert not found.reason.endswith(".")
    return found


def test_what_does_not_wait_has_no_gate(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    task = engine.submit(cpu=1)
    engine.decide()
    assert gate(engine, task) == Gate("none", "it is running")
    engine.run()
    assert gate(engine, task) == Gate("none", "it is done")


def test_a_dependency_is_named_and_many_are_counted(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    first = [engine.submit(cpu=1, name=f"t{number}") for number in range(5)]
    engine.decide()
    one = engine.submit(after=first[:1])
    all_of_them = engine.submit(after=first)
    assert gate(engine, one) == Gate("dependency", "it waits for 1 unfinished task: 't0'")
    reason = "it waits for 5 unfinished tasks: 't0', 't1', 't2' and 2 more"
    assert gate(engine, all_of_them) == Gate("dependency", reason)
    engine.run(until=1.5)
    assert gate(engine, all_of_them).reason.startswith("it waits for 4 unfinished tasks: 't1'")


@pytest.mark.parametrize(("number", "more"), [(3, ""), (4, " and 1 more")])
def test_three_dependencies_are_named_and_the_rest_counted(machine: Callable[..., Any], number: int, more: str) -> None:
    engine = machine(cpu=1)
    first = [engine.submit(cpu=1, name=f"t{place}") for place in range(number)]
    reason = f"it waits for {number} unfinished tasks: 't0', 't1', 't2'{more}"
    assert gate(engine, engine.submit(after=first)) == Gate("dependency", reason)


def test_a_failed_task_waits_for_its_next_try(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    task = engine.submit(cpu=1)
    engine.decide()
    engine.scheduler.postpone(task, 0.0)
    assert gate(engine, task) == Gate("retry", "it failed and waits for its next try")


def test_a_task_behind_others_is_told_how_many(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    for _ in range(3):
        engine.submit("p", cpu=1)
    last = engine.submit("p", cpu=1)
    engine.decide()
    assert gate(engine, last) == Gate("position", "2 tasks of pipeline 'p' are in front of it (priority normal)")
    engine.submit("p", cpu=1, priority=Priority.HIGH)
    assert gate(engine, last).reason.startswith("3 tasks of")


def test_a_task_behind_one_that_has_aged_past_it_is_told_of_one(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    engine.submit("p", cpu=1)
    engine.decide()
    engine.submit("p", cpu=1, priority=Priority.IDLE)
    engine.now = 50.0
    late = engine.submit("p", cpu=1)
    assert gate(engine, late).name == "resource"
    engine.now = 60.0
    assert gate(engine, late) == Gate("position", "1 task of pipeline 'p' is in front of it (priority normal)")


def test_a_task_that_needs_nothing_is_next_or_behind_others(machine: Callable[..., Any]) -> None:
    engine = machine()
    first, second = engine.submit("p"), engine.submit("p")
    assert gate(engine, first) == Gate("next", "it is next in its pipeline and starts at the next decision")
    assert gate(engine, second).name == "position"


def test_what_lacks_something_is_told_what_and_how_much(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1, memory=1000)
    engine.submit("p", cpu=1, memory=10)
    engine.decide()
    both, cpu = engine.submit("p", cpu=1, memory=995), engine.submit("q", cpu=0.5)
    engine.decide()
    assert gate(engine, both) == Gate(
        "resource",
        "it is next in its pipeline and waits for cpu (needs 1 CPU slot, free 0 CPU slots) "
        "and memory (needs 995 bytes of memory, free 990 bytes of memory); "
        "by their shares pipeline 'q' comes first",
    )
    assert gate(engine, cpu).reason.endswith("waits for cpu (needs 0.5 CPU slots, free 0 CPU slots)")


def test_of_a_lowered_capacity_nothing_is_free_and_never_less(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=4)
    engine.submit("p", cpu=4, seconds=9)
    engine.decide()
    task = engine.submit("p", cpu=1)
    engine.admission.register("cpu", 1000)
    engine.decide()
    assert gate(engine, task).reason.endswith("(needs 1 CPU slot, free 0 CPU slots)")


def test_what_waits_for_a_rate_alone_is_told_for_how_long(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=2)
    engine.admission.register_rate("rpm", 2.0, 4)
    engine.submit("p", other={"rpm": 4})
    task = engine.submit("p", other={"rpm": 3})
    engine.decide()
    assert gate(engine, task) == Gate("quota", "it is next in its pipeline and waits for rpm for another 1.5 s")
    engine.now = 1.0
    engine.decide()
    assert gate(engine, task).reason.endswith("0.5 s")
    with_cpu = engine.submit("p", cpu=1, other={"rpm": 3})
    engine.submit("p", cpu=2, seconds=99)
    engine.decide()
    assert gate(engine, with_cpu).name in ("resource", "quota", "reserved")


def test_what_lacks_a_slot_beside_a_rate_is_told_of_both(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    engine.admission.register_rate("rpm", 2.0, 4)
    engine.submit("p", cpu=1, other={"rpm": 4}, seconds=9)
    engine.decide()
    task = engine.submit("p", cpu=1, other={"rpm": 1})
    engine.decide()
    found = gate(engine, task)
    assert found.name == "resource"
    assert "cpu" in found.reason


def test_what_is_free_but_kept_names_for_whom(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=2, memory=10)
    engine.submit("a", cpu=1, memory=10, seconds=100)
    engine.decide()
    big = engine.submit("a", cpu=1, memory=10, priority=Priority.CRITICAL, name="big")
    small = engine.submit("b", cpu=1)
    engine.decide()
    assert gate(engine, big).name == "resource"
    assert gate(engine, small) == Gate(
        "reserved",
        "what it needs is free but kept for task 'big' of pipeline 'a', which came first and needs more",
    )
    engine.scheduler.cancel(big, engine.now)
    assert "kept for another task" in gate(engine, small).reason


def test_a_pipeline_that_had_more_than_its_share_is_told_who_comes_first(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    task = engine.submit("b", cpu=1)
    shares = engine.scheduler.shares
    for number in range(5):
        engine.submit(f"p{number}", cpu=1)
    engine.submit("other", memory=1)
    shares.pipeline("b").v = 5.0
    found = gate(engine, task)
    assert found == Gate("share", "pipeline 'b' had more than its share, so pipelines 'p0', 'p1', 'p2' come first")
    shares.pipeline("b").burst.cooling = True
    assert gate(engine, task) == Gate("burst", "pipeline 'b' used up its burst credit, so others go first")
    engine.scheduler.selection.burst_allowed = False
    engine.scheduler.selection.causes = Causes(level="level elevated: the machine runs on its battery")
    reason = "the engine is degraded (level elevated: the machine runs on its battery) and gives no burst credit"
    assert gate(engine, task) == Gate("burst", f"{reason}, so others go first")


def test_a_pipeline_alone_without_credit_is_next(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    task = engine.submit("b", cpu=1)
    task.pipeline.burst.cooling = True
    assert gate(engine, task).name == "next"


def test_a_suspended_pipeline_says_why_and_its_permits_are_not_held_up(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    task = engine.submit("p", cpu=1)
    permit = engine.submit("p", memory=1, claim=1)
    task.pipeline.suspended = "its server is down"
    assert gate(engine, task) == Gate("suspended", "pipeline 'p' starts nothing: its server is down")
    assert gate(engine, permit).name == "next"
    assert engine.decide() == [permit]


def test_a_class_that_is_left_out_is_told_so(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    idle = engine.submit("p", cpu=1, priority=Priority.IDLE)
    engine.scheduler.selection.lowest_class = Priority.LOW
    assert engine.decide() == []
    assert gate(engine, idle) == Gate("degraded", "the engine is degraded and starts no idle work")
    engine.scheduler.selection.causes = Causes(classes="level high: the machine is hot")
    reason = "the engine is degraded (level high: the machine is hot) and starts no idle work"
    assert gate(engine, idle) == Gate("degraded", reason)
    engine.scheduler.selection.lowest_class = Priority.IDLE
    assert engine.decide() == [idle]


def test_what_may_not_be_held_for_now_is_told_with_its_cause(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=4)
    engine.scheduler.selection.limits = {CPU: CPU_UNIT}
    first, second = engine.submit(cpu=1), engine.submit(cpu=1)
    assert engine.decide() == [first]
    reason = "the machine is loaded, so tasks hold at most 1 CPU slot for now"
    assert gate(engine, second) == Gate("degraded", reason)
    engine.scheduler.selection.causes = Causes(limits="other programs use 3 of the cores")
    reason = "the machine is loaded (other programs use 3 of the cores), so tasks hold at most 1 CPU slot for now"
    assert gate(engine, second) == Gate("degraded", reason)
    engine.scheduler.selection.causes = Causes(gone="1 of 4 CPU slots are left")
    reason = "1 of 4 CPU slots are left, so tasks hold at most 1 CPU slot for now"
    assert gate(engine, second) == Gate("degraded", reason)


def test_batch_work_that_is_held_because_urgent_work_is_late_is_told_so(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=4)
    engine.scheduler.overload.batch_share = 0.5
    engine.scheduler.overload.interactive_wait = 0.25
    for _ in range(2):
        engine.submit("p", cpu=1, seconds=9)
    task = engine.submit("p", cpu=1)
    assert len(engine.decide()) == 2
    told = "urgent work waited {}, so other work holds at most 50% of anything for now"
    assert gate(engine, task) == Gate("overload", told.format("250 ms on average"))
    for better in (0.001, None):  # what it may hold comes back step by step
        engine.scheduler.overload.interactive_wait = better
        assert gate(engine, task) == Gate("overload", told.format("too long a moment ago"))


def test_what_came_back_after_the_decision_holds_nothing_back(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    first, second = engine.submit("p", cpu=1, seconds=9), engine.submit("p", cpu=1)
    assert engine.decide() == [first]
    assert gate(engine, second).name == "resource"
    engine.scheduler.finish(first, 1.0, State.DONE)
    assert gate(engine, second) == Gate("next", "it is next in its pipeline and starts at the next decision")


def test_who_needs_more_than_there_is_any_more_is_told_so(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=4)
    first, second = engine.submit("p", cpu=4, seconds=9), engine.submit("p", cpu=4)
    assert engine.decide() == [first]
    engine.scheduler.admission.register("cpu", 2000)
    told = "waits for cpu (needs 4 CPU slots, and there is no more than 2 CPU slots now)"
    assert gate(engine, second).reason == f"it is next in its pipeline and {told}"


def test_a_class_that_steps_aside_is_told_so_while_others_want_the_same(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    engine.scheduler.overload.lowest = Priority.LOW
    engine.scheduler.overload.batch_wait = 3.21
    idle = engine.submit("p", cpu=1, priority=Priority.IDLE)
    normal = engine.submit("q", cpu=1)
    assert engine.decide() == [normal]
    assert gate(engine, idle).name == "resource"
    engine.submit("q", cpu=1)
    told = "normal and low work waited 3.21 s on average, so idle work goes last"
    assert gate(engine, idle) == Gate("overload", told)
    engine.scheduler.overload.batch_wait = 0.5
    assert gate(engine, idle).reason == "other work waited too long a moment ago, so idle work goes last"
    engine.run()
    assert idle.state == State.DONE, "it goes when nothing else fits"


def test_critical_work_of_others_that_goes_first_is_named(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=1)
    engine.submit("p", cpu=1)
    engine.decide()
    normal = engine.submit("p", cpu=1)
    engine.submit("q", cpu=1, priority=Priority.CRITICAL)
    engine.submit("r", memory=1, priority=Priority.CRITICAL)
    assert gate(engine, normal).reason.endswith("; critical work of pipeline 'q' comes first")


def test_who_may_run_only_alone_is_told_so(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=4)
    engine.scheduler.selection.limits[MEMORY] = 0
    engine.scheduler.selection.causes = Causes(limits="97% of the memory is in use")
    first, second = engine.submit(memory=10), engine.submit(memory=10)
    assert engine.decide() == [first]
    told = "the machine is loaded (97% of the memory is in use), so tasks that need memory run one at a time for now"
    assert gate(engine, second) == Gate("degraded", told)


def test_low_work_that_steps_aside_is_told_how_long_more_urgent_work_waited(machine: Callable[..., Any]) -> None:
    engine = machine(cpu=4, most=1)
    scheduler = engine.scheduler
    scheduler.overload.lowest = Priority.NORMAL
    scheduler.overload.batch_wait = 3.0
    low = engine.submit("b", cpu=1, priority=Priority.LOW)
    normal = engine.submit("a", cpu=1)
    engine.submit("held", cpu=1).pipeline.suspended = "so that the others have to be chosen"
    normal.pipeline.v = 1.0
    assert engine.decide() == [normal]
    assert gate(engine, low) == Gate("overload", "normal and low work waited 3 s on average, so low work goes last")
