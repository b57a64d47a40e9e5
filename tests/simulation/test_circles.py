"""Circles of waiting that were found by the simulation, each reduced to what it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.simulation.programs import Ask, Give, Join, Plan, Spawn, Step, Work, as_needs
from tests.simulation.workloads import new_world

from tenire.core.ready_queue import URGENT_RUN
from tenire.core.tasks import Needs, Priority, State

if TYPE_CHECKING:
    from tests.simulation.world import World

ALL_CPU, ONE_CPU = as_needs(cpu=2000), as_needs(cpu=1000)
GREEDY = Plan(as_needs(cpu=2000, memory=10), priority=Priority.CRITICAL, name="greedy")
"""Everything is kept for it from the moment at which it waits."""


def run(*plans: Plan, at: float = 0.5) -> World:
    """Run plans: the first at once, the others a moment later."""
    world = new_world()
    world.submit(plans[0])
    for plan in plans[1:]:
        world.at(at, lambda plan=plan: world.submit(plan))
    world.run()
    return world


def states(world: World) -> dict[str, State]:
    return {run.plan.name: run.task.state for run in world.runs}


def parent(*steps: Step, memory: int = 5) -> Plan:
    return Plan(as_needs(memory=memory), steps, name="parent")


def test_a_task_that_waits_for_its_child_is_not_stopped_by_what_is_kept_for_others() -> None:
    world = run(parent(Work(1.0), Spawn(Plan(ONE_CPU, name="child")), Join(0)), GREEDY)
    assert set(states(world).values()) == {State.DONE}
    assert world.refused == 0


def test_nor_is_one_that_waits_for_a_grandchild() -> None:
    child = Plan((), (Work(1.0), Spawn(Plan(ONE_CPU, name="grandchild")), Join(0)), name="child")
    world = run(parent(Spawn(child), Join(0)), GREEDY)
    assert set(states(world).values()) == {State.DONE}


def test_nor_if_the_child_waited_before_its_parent_did() -> None:
    child = Plan((), (Spawn(Plan(ONE_CPU, (Work(1.0),), name="grandchild")), Join(0)), name="child")
    other = Plan(ALL_CPU, (Work(2.0),), name="other")
    world = new_world()
    world.submit(other)
    world.submit(parent(Spawn(child), Work(1.0), Join(0)))
    world.at(0.5, lambda: world.submit(GREEDY))
    world.run()
    assert set(states(world).values()) == {State.DONE}


def test_nor_by_what_is_kept_if_the_child_asks_for_a_permit_after_many_others_did() -> None:
    # Permits have lost their precedence by then; that of a child is awaited.
    child = Plan((), (Work(3.0), Ask(ONE_CPU)), name="child")
    world = new_world()
    world.submit(parent(Spawn(child), Join(0)))
    busy = (Ask(ALL_CPU), Work(0.1), Give()) * (URGENT_RUN + 1)
    world.submit(Plan((), busy, name="busy"))
    world.at(0.05, lambda: world.submit(GREEDY))
    world.run()
    assert set(states(world).values()) == {State.DONE}


@pytest.mark.parametrize("needs", [(), as_needs(threads=1)])
def test_a_child_that_asks_for_what_its_parent_holds_is_refused(needs: Needs) -> None:
    child = Plan(needs, (Work(1.0), Ask(as_needs(memory=6))), name="child")
    world = run(parent(Spawn(child), Join(0)))
    assert world.refused == 1
    assert set(states(world).values()) == {State.DONE}


def test_a_parent_that_waits_for_a_child_that_waits_for_what_it_holds_is_refused() -> None:
    child = Plan((), (Ask(as_needs(memory=6)),), name="child")
    world = run(parent(Spawn(child), Work(1.0), Join(0)))
    assert world.refused == 1
    assert set(states(world).values()) == {State.DONE}


def test_what_a_holder_waits_for_does_not_stand_behind_what_needs_more() -> None:
    big, small = Plan(as_needs(memory=10), name="big"), Plan(as_needs(memory=4), name="small")
    other = Plan(as_needs(pages=1), (Spawn(big), Join(0)), name="other")
    world = run(parent(Work(1.0), Spawn(small), Join(0)), other)
    assert set(states(world).values()) == {State.DONE}


def test_one_that_was_given_up_holds_what_it_took_until_it_is_gone() -> None:
    world = new_world()
    given_up = world.submit(Plan(ONE_CPU, (Work(1.0), Ask(as_needs(cpu=500, memory=10))), name="given up"))
    world.at(0.5, lambda: world.abandon(given_up))
    world.at(0.6, lambda: world.submit(Plan((), (Ask(as_needs(cpu=2000, memory=10)),), name="other")))
    world.run()
    assert states(world)["other"] == State.DONE


def test_what_a_stray_of_an_ended_task_asks_for_is_not_asked_by_a_holder() -> None:
    world = new_world()
    ended = world.submit(Plan(as_needs(cpu=1000, threads=1), name="ended"))
    world.run()
    assert ended.task.holds() == 0


@pytest.mark.parametrize("lowered", [0, 1000])
def test_what_waits_for_a_lowered_capacity_goes_on_when_it_is_back(lowered: int) -> None:
    world = new_world()
    world.submit(Plan(ONE_CPU, (Work(1.0), Spawn(Plan(ONE_CPU, name="child")), Join(0)), name="parent"))
    world.at(0.5, lambda: world.admission.register("cpu", lowered))
    world.at(9.0, lambda: world.admission.register("cpu", 2000))
    world.run()
    assert set(states(world).values()) == {State.DONE}


def test_what_runs_of_a_suspended_pipeline_gets_all_the_permits_that_it_needs() -> None:
    world = new_world()
    busy = world.submit(Plan((), (Ask(ONE_CPU), Work(0.1), Give()) * (3 * URGENT_RUN)))
    pipeline = world.scheduler.shares.pipeline("a")

    def suspend() -> None:
        world.submit(Plan(ONE_CPU, name="waits"))
        pipeline.suspended = "unhealthy"

    def resume() -> None:
        assert busy.ended
        pipeline.suspended = None

    world.at(0.05, suspend)
    world.at(50.0, resume)
    world.run()


@pytest.mark.parametrize("needs", [(), ONE_CPU])
def test_what_a_holder_waits_for_starts_although_its_pipeline_is_suspended(needs: Needs) -> None:
    world = new_world()
    holder = world.submit(parent(Work(1.0), Spawn(Plan(needs, name="child")), Join(0)))
    pipeline = world.scheduler.shares.pipeline("a")
    world.at(0.5, lambda: setattr(pipeline, "suspended", "unhealthy"))
    world.at(50.0, lambda: (holder.ended or pytest.fail("it stood still"), setattr(pipeline, "suspended", None)))
    world.run()


def test_nobody_is_woken_for_what_waited_for_its_rate_and_is_gone() -> None:
    world = new_world()
    world.submit(Plan(as_needs(rpm=3)))
    late = world.submit(Plan(as_needs(rpm=3)))
    assert world.scheduler.decide(0.0, 256)
    assert world.scheduler.next_wake() is not None
    assert world.scheduler.cancel(late.task, 0.0)
    assert world.scheduler.decide(0.0, 256) == []
    assert world.scheduler.next_wake() is None
