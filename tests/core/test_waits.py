"""Whether waiting can ever end: the quick test against a search through all orders."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tenire.core.admission import CPU, MEMORY, PROCESSES, THREADS, Admission
from tenire.core.fair_share import PipelineShare
from tenire.core.tasks import READY, RUNNING, WAITING, Claim, Needs, Priority, State, Task
from tenire.core.waits import Waits

if TYPE_CHECKING:
    import pytest

AMOUNTS = st.tuples(st.integers(0, 3), st.integers(0, 3))
PIPELINE = PipelineShare("p")


def new(amounts: tuple[int, int] = (0, 0), state: State = RUNNING, *, priority: int = 2) -> Task:
    needs = tuple((index, amount) for index, amount in enumerate(amounts) if amount)
    task = Task(PIPELINE, "t", priority, needs)
    task.state = state
    return task


def system(cpu: int = 3, memory: int = 3) -> Waits:
    admission = Admission(cpu=1, memory=memory, threads=2, processes=1)
    admission.register("cpu", cpu)
    return Waits(admission)


def holding(waits: Waits, *tasks: Task) -> None:
    for task in tasks:
        for index, amount in task.needs:
            waits._admission.free[index] -= amount


def can_end(holder: Task, waiting: dict[Task, list[Task]], capacity: tuple[int, int]) -> bool:
    """Search: is there any order in which the waiting ones are served until it is this one's turn?"""
    for order in permutations(waiting):
        left = list(order)
        while left:
            one = left[0]
            held = [sum(amount for task in left for i, amount in task.needs if i == index) for index in (0, 1)]
            free = [capacity[index] - held[index] for index in (0, 1)]
            if not all(serves(target, left, free) for target in waiting[one]):
                break
            if one is holder:
                return True
            left.pop(0)
    return False


def serves(target: Task, left: list[Task], free: list[int]) -> bool:
    if target.state == RUNNING:
        return target not in left
    return all(amount <= free[index] for index, amount in target.needs) and all(
        serves(other, left, free) for other in target.after
    )


@settings(max_examples=400)
@given(
    st.lists(AMOUNTS, min_size=1, max_size=4),
    st.lists(AMOUNTS, min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=3),
)
def test_a_wait_is_stuck_exactly_if_no_order_of_serving_reaches_it(
    held: list[tuple[int, int]],
    needed: list[tuple[int, int]],
    edges: list[tuple[int, int]],
    chains: list[tuple[int, int]],
) -> None:
    waits = system(cpu=4, memory=4)
    holders: list[Task] = []
    for amounts in held:
        holder = new(amounts)
        if not waits._admission.lacking(holder.needs):
            holders.append(holder)
            holding(waits, holder)
    targets = [new(amounts, READY) for amounts in needed]
    for one, other in chains:
        if one < other < len(targets):  # a later one waits for an earlier one
            targets[other].after = (*targets[other].after, targets[one])
            targets[other].state = WAITING
    if not holders:
        return
    everyone = [*targets, *holders]
    waiting: dict[Task, list[Task]] = {}
    for number, target_number in edges:
        holder, target = holders[number % len(holders)], everyone[target_number % len(everyone)]
        waiting.setdefault(holder, []).append(target)
        waits.begin(holder, target)
        stuck = not can_end(holder, waiting, (4, 4))
        assert waits.stuck(holder) == stuck
        if stuck:  # as the caller does, so what waits can always be served
            waits.end(holder, target)
            waiting[holder].remove(target)
            if not waiting[holder]:
                del waiting[holder]


@given(st.integers(0, 0b111111), st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True))
def test_only_what_comes_after_all_that_is_held_may_be_waited_for(held: int, wanted: list[int]) -> None:
    waits = system()
    waits._admission.register("pages", 3)
    rate = waits._admission.register_rate("rpm", 1.0, 3)
    order = [MEMORY, CPU, THREADS, PROCESSES, 4, rate]
    last = max((order.index(index) for index in range(6) if held >> index & 1), default=-1)
    allowed = all(index == rate or order.index(index) > last for index in wanted)
    assert waits.in_order(held, tuple((index, 1) for index in wanted)) == allowed


def test_whoever_waits_for_itself_is_stuck() -> None:
    waits, task = system(), new((1, 0))
    waits.begin(task, task)
    assert waits.stuck(task)


def test_a_circle_of_those_that_hold_nothing_is_a_circle_too() -> None:
    waits, one, other = system(), new(), new()
    waits.begin(one, other)
    assert not waits.stuck(one)
    waits.begin(other, one)
    assert waits.stuck(other)


def goes_on(waits: Waits, holder: Task, target: Task) -> bool:
    waits.begin(holder, target)
    return not waits.stuck(holder)


def test_one_that_waits_for_thousands_is_not_gone_through_from_the_first_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = []
    for name in ("_ends_now", "_ends"):
        own = getattr(Waits, name)
        monkeypatch.setattr(Waits, name, lambda self, *args, own=own: (looks.append(1), own(self, *args))[1])
    for free in (3, 1):  # with enough for the first ones, and with what comes back when another one is served
        waits, holder, other = system(cpu=3), new((1, 0)), new((2 if free == 1 else 0, 0))
        holding(waits, holder, other)
        if free == 1:
            assert goes_on(waits, other, new((0, 1), READY))
            waits._admission.free[CPU] = 0
        looks.clear()
        targets = [new((1, 0), READY) for _ in range(1000)]
        for target in targets:
            assert goes_on(waits, holder, target)
        assert len(looks) < 4 * len(targets)
        for target in targets:
            waits.end(holder, target)
        assert waits._safe is None


def test_that_one_can_go_on_is_looked_at_anew_when_there_is_less_or_somebody_holds_more() -> None:
    def waiting() -> tuple[Waits, Task, Task]:
        waits, holder, other, runs = system(cpu=4), new((1, 0)), new((1, 0)), new((2, 0))
        holding(waits, holder, other, runs)
        assert goes_on(waits, other, holder)
        assert goes_on(waits, holder, new((2, 0), READY)), "what runs gives back two"
        return waits, holder, other

    waits, holder, _ = waiting()
    assert goes_on(waits, holder, new((2, 0), READY))
    waits, holder, _ = waiting()
    waits._admission.register("cpu", 3)
    assert not goes_on(waits, holder, new((2, 0), READY))
    waits, holder, other = waiting()
    other.permits = [new((1, 0))]
    other.claim = holder.claim = Claim.AWAITED  # so that nobody is urged
    waits.holds_now(other)
    assert not goes_on(waits, holder, new((2, 0), READY))


def test_permits_are_held_like_needs() -> None:
    waits, holder, target = system(), new((1, 0)), new((2, 0), READY)
    permit = new((1, 0))
    holding(waits, holder, permit)
    waits.begin(holder, target)
    holder.permits = []
    assert not waits.stuck(holder)
    holder.permits = [permit]
    waits.end(holder, target)
    waits.begin(holder, target)
    waits._admission.free[CPU] = 1
    assert waits.stuck(holder)


def test_what_an_abandoned_task_holds_is_not_free_and_that_of_an_ended_one_is() -> None:
    waits, holder, target = system(), new((2, 0)), new((2, 0), READY)
    holding(waits, holder)
    waits.begin(holder, target)
    holder.state = State.FAILED
    assert waits.stuck(holder)
    holder.mask = 0  # now it has really ended
    assert not waits.stuck(holder)


def test_rates_come_back_by_themselves() -> None:
    waits, holder = system(), new((0, 1))
    rate = waits._admission.register_rate("rpm", 1.0, 3)
    target = Task(PIPELINE, needs=((rate, 3),))
    target.state = READY
    waits._admission.free[rate] = 0
    holding(waits, holder)
    waits.begin(holder, target)
    assert not waits.stuck(holder)


def test_who_waits_for_nothing_is_not_stuck_and_no_end_comes_twice() -> None:
    waits, one, other, third = system(), new(), new(), new()
    assert not waits.stuck(one)
    waits.begin(one, other)
    waits.begin(one, third)
    assert list(waits.targets(one)) == [other, third]
    waits.end(one, other)
    waits.end(one, other)
    assert list(waits.targets(one)) == [third]
    waits.end(one, third)
    waits.end(one, third)
    assert list(waits.targets(one)) == []


def queued(needs: Needs = ((CPU, 1),), priority: int = Priority.LOW) -> Task:
    task = Task(PipelineShare("q"), needs=needs, priority=priority)
    task.state, task.ready_at = READY, 0.0
    task.pipeline.queue.push(task)
    return task


def test_what_a_holder_waits_for_goes_first_and_all_that_it_waits_for_in_turn() -> None:
    waits, holder, running = system(), new((1, 0), priority=1), new()
    first, last = queued(), queued()
    waiting = new(state=WAITING, priority=4)
    waiting.after = (first,)
    waits.begin(running, last)
    waits.urge(holder, waiting)
    assert (waiting.claim, first.claim) == (Claim.AWAITED, Claim.AWAITED)
    assert (waiting.priority, first.priority) == (1, 1)
    waits.urge(holder, running)
    assert (running.claim, last.claim) == (Claim.AWAITED, Claim.AWAITED)
    assert running.priority == 2, "what it is counted as while it runs stays"
    late = queued()
    waits.urge(running, late)
    assert late.claim == Claim.AWAITED, "it holds nothing itself, but a holder waits for it"


def test_what_somebody_waits_for_that_holds_nothing_keeps_its_place() -> None:
    waits, nobody, target = system(), new(priority=0), queued()
    waits.begin(nobody, target)
    waits.urge(nobody, target)
    assert (target.claim, target.priority) == (Claim.START, 0)
    nobody.permits = [new((1, 0))]
    waits.holds_now(nobody)
    assert target.claim == Claim.AWAITED


def test_what_needs_nothing_is_awaited_where_it_stands() -> None:
    waits, holder, target = system(), new((1, 0)), queued(())
    waits.urge(holder, target)
    assert target.claim == Claim.AWAITED
    target.pipeline.queue.check()
    ended = new(state=State.DONE)
    waits.urge(holder, ended)
    assert ended.claim == Claim.START


# -- when nothing has to be tried out ---------------------------------------------------


def asked(claim: Claim, amounts: tuple[int, int]) -> Task:
    permit = queued(tuple((index, amount) for index, amount in enumerate(amounts) if amount))
    permit.pipeline.queue.promote(permit, claim=claim)
    return permit


def test_while_all_wait_in_order_a_wait_costs_the_same_however_many_wait() -> None:
    looked: list[Task] = []

    class Watched(Waits):
        def stuck(self, holder: Task) -> bool:
            looked.append(holder)
            return False

    waits = Watched(system()._admission)
    holders = [new((0, 0)) for _ in range(200)]
    for holder in holders:
        holder.permits = [new((0, 1))]
        assert waits.wait_for(holder, asked(Claim.AWAITED, (9, 0)), in_order=True)
    assert looked == []
    other = new()
    assert waits.wait_for(other, holders[0])
    assert waits.wait_for(new((0, 1)), asked(Claim.AWAITED, (9, 0)), in_order=True)
    assert len(looked) == 2, "from here on somebody waits in no order"
    waits.end(other, holders[0])
    assert waits.wait_for(new((0, 1)), asked(Claim.AWAITED, (9, 0)), in_order=True)
    assert len(looked) == 2


def test_a_permit_of_one_that_holds_nothing_is_tried_out_only_if_a_holder_waits_for_it() -> None:
    waits, parent, child = system(), new((3, 0)), new()
    holding(waits, parent)
    assert waits.wait_for(parent, child)
    stranger = new()
    assert waits.wait_for(stranger, asked(Claim.PERMIT, (3, 0)), in_order=True)
    permit = asked(Claim.PERMIT, (3, 0))
    assert not waits.wait_for(child, permit, in_order=True)
    assert list(waits.targets(child)) == []
    assert permit.claim == Claim.PERMIT, "nothing has changed"


def test_a_circle_is_found_through_tasks_that_wait_by_after_and_not_where_what_is_held_stands_in_the_way() -> None:
    waits, first, second, third = system(), new((3, 0)), new(), new()
    holding(waits, first)
    link, aside = new(state=WAITING), new((1, 0), READY)
    link.after = (aside, third)
    assert waits.wait_for(second, link)
    waits.begin(third, aside)
    waits.begin(third, first)
    assert waits.circle(first, second) == [first, second, link, third, first]
    assert not waits.wait_for(first, second)
    assert waits.circle(first, first) == [first, first]
    assert waits.circle(first, aside) == [], "it is the first that holds what that one needs"
    assert waits.circle(aside, first) == []


def test_what_was_asked_for_before_something_else_was_taken_may_be_out_of_order() -> None:
    waits, one, other = system(), new(), new((0, 3))
    holding(waits, other)
    late = asked(Claim.PERMIT, (0, 3))
    assert waits.wait_for(one, late, in_order=True)
    one.permits = [new((3, 0))]
    holding(waits, *one.permits)
    waits.holds_now(one)
    assert late.claim == Claim.AWAITED
    again = asked(Claim.AWAITED, (3, 0))
    assert not waits.wait_for(other, again, in_order=True), "it would wait for the first, and the first for it"
    waits.end(one, late)
    assert waits._loose == 0
    assert waits.wait_for(other, asked(Claim.AWAITED, (3, 0)), in_order=True)


def test_what_two_coroutines_of_one_task_hold_together_comes_back_when_both_have_gone_on() -> None:
    class Branch(Task):
        """A coroutine of a task, as the shell makes them."""

        parent: Task

        def records(self) -> list[Task]:
            return self.parent.records()

        def root(self) -> Task:
            return self.parent

    waits = system(cpu=3, memory=0)
    task, other = new((2, 0)), new((1, 0))
    branches = [Branch(PIPELINE, "b") for _ in range(2)]
    for branch in branches:
        branch.parent = task
    holding(waits, task, other)
    small, large = new((1, 0), READY), new((3, 0), READY)
    waits.begin(branches[0], small)  # served once the other has ended, which waits for nothing
    assert not waits.stuck(branches[0])
    waits.begin(other, large)
    assert waits.stuck(other), "it would need what it holds itself"
    waits.end(other, large)
    waits.begin(branches[1], large)
    assert waits.stuck(branches[1]), "what the first coroutine gives back is still held by the second"
