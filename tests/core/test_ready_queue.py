"""The order within a pipeline, against a naive recomputation."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tenire.core.fair_share import PipelineShare
from tenire.core.ready_queue import AGEING_S, ALL_CLASSES, URGENT_RUN, Lane, ReadyQueue, aged
from tenire.core.tasks import READY, RUNNING, Claim, Needs, Priority, State, Task

PRIORITIES = st.sampled_from(Priority)
CPU: Needs = ((0, 1),)
NEEDS: list[Needs] = [(), CPU, CPU, ((0, 1), (1, 1)), ((0, 2),)]
CLAIMS = st.sampled_from([Claim.START, Claim.START, *Claim])
Key = tuple[int, int, Needs]


def ready(
    priority: int = Priority.NORMAL,
    *,
    at: float = 0.0,
    seq: int = 0,
    needs: Needs = CPU,
    due: float | None = None,
    claim: int = 0,
) -> Task:
    task = Task(PipelineShare("p"), priority=priority, needs=needs, deadline=due)
    task.state, task.ready_at, task.seq, task.claim = READY, at, seq, claim
    return task


def filled(*tasks: Task) -> tuple[ReadyQueue, Lane]:
    queue = ReadyQueue(PipelineShare("p"))
    for task in tasks:
        queue.push(task)
    return queue, tasks[0].lane


def start(queue: ReadyQueue, task: Task | None) -> Task:
    assert task is not None
    queue.pop(task)
    task.state = RUNNING
    return task


def order_of(queue: ReadyQueue, lane: Lane, now: float = 0.0) -> list[Task]:
    order = []
    while lane.size:
        order.append(start(queue, lane.head(now)))
    return order


def lane_of(task: Task) -> Key:
    """Tasks with equal keys stand in one lane."""
    return task.mask, task.claim, task.needs if task.claim == Claim.AWAITED else ()


class QueueMachine(RuleBasedStateMachine):
    """A few lanes, five classes, and a clock that jumps by whole classes."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = ReadyQueue(PipelineShare("p"))
        self.now = 0.0
        self.seq = 0
        self.live: list[Task] = []  # in the order in which they came into their queue
        self.arrived: dict[Task, int] = {}
        self.exceptions: dict[Key, int] = {}

    def arrive(self, task: Task) -> None:
        self.live.append(task)
        self.arrived[task] = len(self.arrived)

    @rule(
        priority=PRIORITIES,
        needs=st.sampled_from(NEEDS),
        number=st.integers(1, 4),
        due=st.sampled_from([None, None, None, 5.0, 50.0]),
        claim=CLAIMS,
    )
    def push(self, priority: Priority, needs: Needs, number: int, due: float | None, claim: Claim) -> None:
        for _ in range(number):
            self.seq += 1
            deadline = None if due is None else self.now + due
            task = ready(priority, at=self.now, seq=self.seq, needs=needs, due=deadline, claim=claim)
            self.queue.push(task)
            self.arrive(task)

    @rule(classes=st.sampled_from([0.1, 0.5, 1, 2, 4]))
    def wait(self, classes: float) -> None:
        self.now += classes * AGEING_S

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.live:
            task = self.live.pop(data.draw(st.integers(0, len(self.live) - 1)))
            self.queue.forget(task)
            task.state = State.CANCELLED

    @rule(data=st.data(), priority=PRIORITIES)
    def raise_class(self, data: st.DataObject, priority: Priority) -> None:
        """As priority inheritance does: only ever to a more urgent class."""
        if self.live:
            task = data.draw(st.sampled_from(self.live))
            if priority < task.priority:
                self.queue.promote(task, priority=priority)
                assert task.priority == priority
                self.live.remove(task)
                self.live.append(task)

    @rule(data=st.data(), claim=st.sampled_from(Claim))
    def raise_claim(self, data: st.DataObject, claim: Claim) -> None:
        if self.live:
            task = data.draw(st.sampled_from(self.live))
            before = task.claim
            self.queue.promote(task, claim=claim)
            assert task.claim == max(before, claim)
            if task.claim != before:
                self.live.remove(task)
                self.live.append(task)

    @rule(data=st.data(), number=st.integers(1, 12), classes=st.sampled_from([ALL_CLASSES] * 5 + [0b111, 0b1]))
    def pop(self, data: st.DataObject, number: int, classes: int) -> None:
        lanes = [lane for lane in (self.queue.free, *self.queue.lanes.values()) if lane.size]
        if not lanes:
            return
        lane = data.draw(st.sampled_from(lanes))
        for _ in range(number):
            task = lane.head(self.now, classes)
            allowed = [other for other in self.live if other.lane is lane and classes >> other.priority & 1]
            assert (task is None) == (not allowed)
            assert lane.urgent() == any(other.lane is lane and not other.priority for other in self.live)
            if task is None:
                return
            assert lane.head(self.now, classes) is task, "a head stays what it is"
            self.judge(task, classes)
            start(self.queue, task)
            self.live.remove(task)

    @rule(most=st.integers(0, 12))
    def take(self, most: int) -> None:
        there = sum(not task.mask and not task.claim for task in self.live)
        assert self.queue.free.size == there
        taken = self.queue.take(self.queue.free, most, self.now)
        assert len(taken) == min(most, there)
        for task in taken:
            self.judge(task, ALL_CLASSES, alone=False)
            task.state = RUNNING
            self.live.remove(task)

    def judge(self, task: Task, classes: int, *, alone: bool = True) -> None:
        """Rules 1 to 3, from scratch."""
        assert task in self.live
        rivals = [other for other in self.live if other.lane is task.lane and classes >> other.priority & 1]
        heads = [self.first_of_class(rivals, index) for index in Priority]
        ranked = [head for head in heads if head is not None]
        assert task in ranked, "the first of its class"
        oldest = min(ranked, key=lambda head: (aged(head, self.now), head.ready_at, head.seq))
        born = min(head.priority for head in ranked)
        key = lane_of(task)
        if task is oldest or not alone:
            self.exceptions[key] = 0
        else:
            assert task.priority == born <= Priority.HIGH, "only urgent work goes before what has risen above it"
            self.exceptions[key] = self.exceptions.get(key, 0) + 1
            assert self.exceptions[key] <= URGENT_RUN

    def first_of_class(self, rivals: list[Task], index: int) -> Task | None:
        """The earliest deadline, unless the first of the others has risen a class."""
        of_class = [task for task in rivals if task.priority == index]
        plain = next((task for task in of_class if task.deadline is None), None)
        dated = sorted((task.deadline, task.seq, task) for task in of_class if task.deadline is not None)
        if dated and (plain is None or self.now - plain.ready_at < AGEING_S):
            return dated[0][2]
        return plain

    @invariant()
    def agrees(self) -> None:
        self.queue.check()
        assert self.queue.size == len(self.live)
        assert self.queue.critical == sum(not task.priority for task in self.live)
        assert self.queue.claimed == sum(task.claim > 0 for task in self.live)
        assert set(self.queue.all()) == set(self.live)
        assert all(lane_of(task) == lane_of(other) for task in self.live for other in task.lane.live())
        assert len({task.lane for task in self.live}) == len({lane_of(task) for task in self.live})
        for lane in self.queue.lanes.values():
            assert (lane in self.queue.claims) == (lane.claim > 0)
            assert (lane in self.queue.contenders) == (lane.claim <= Claim.PERMIT)
            if lane.needs is not None:
                assert all(task.needs == lane.needs for task in lane.live())


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(stateful_step_count=50, max_examples=200)


# -- ageing, classes ----------------------------------------------------------


def test_a_task_rises_one_class_at_exactly_each_thirty_seconds() -> None:
    assert AGEING_S == 30.0
    low = ready(Priority.LOW, at=5.0)
    assert [aged(low, 5.0 + wait) for wait in (0, 29.9, 30, 59.9, 60, 90, 9000)] == [3, 3, 2, 2, 1, 0, 0]


def test_tasks_of_one_class_come_out_in_the_order_in_which_they_came_in() -> None:
    tasks = [ready(seq=seq) for seq in range(5)]
    queue, lane = filled(*tasks)
    assert order_of(queue, lane) == tasks


def test_a_more_urgent_task_goes_before_one_that_was_looked_at_already() -> None:
    idle = ready(Priority.IDLE, seq=1)
    queue, lane = filled(idle)
    assert lane.head(0.0) is idle
    normal = ready(Priority.NORMAL, seq=2)
    queue.push(normal)
    assert lane.head(0.0) is normal


def test_a_task_risen_to_a_class_goes_before_younger_ones_of_it() -> None:
    idle, normal = ready(Priority.IDLE, at=0.0, seq=1), ready(Priority.NORMAL, at=50.0, seq=2)
    _, lane = filled(idle, normal)
    assert lane.head(59.9) is normal
    assert lane.head(60.0) is idle


@pytest.mark.parametrize(("urgent", "now"), [(Priority.CRITICAL, 600.0), (Priority.HIGH, 30.0)])
def test_urgent_work_goes_before_ten_thousand_tasks_aged_into_its_class(urgent: Priority, now: float) -> None:
    queue, lane = filled(*(ready(seq=number) for number in range(10_000)))
    task = ready(urgent, at=now, seq=10_000)
    queue.push(task)
    assert lane.head(now + 1.0) is task


def test_normal_work_has_no_precedence_before_what_has_aged_into_its_class() -> None:
    low = ready(Priority.LOW, at=0.0, seq=1)
    queue, lane = filled(low)
    queue.push(ready(Priority.NORMAL, at=29.0, seq=2))
    assert lane.head(30.0) is low


@pytest.mark.parametrize("urgent", [Priority.CRITICAL, Priority.HIGH])
def test_a_stream_of_urgent_work_lets_an_aged_task_by_after_eight(urgent: Priority) -> None:
    assert URGENT_RUN == 8
    low, lower = ready(Priority.LOW, at=0.0), ready(Priority.LOW, at=0.0)
    queue, lane = filled(low, lower)
    now = 120.0 if urgent == Priority.CRITICAL else 70.0  # they have risen to the class of the stream
    order = []
    for number in range(1, 30):
        queue.push(ready(urgent, at=now, seq=number))
        order.append(start(queue, lane.head(now)))
    assert [order.index(low), order.index(lower)] == [URGENT_RUN, 2 * URGENT_RUN + 1]


def test_only_the_classes_that_may_start_are_looked_at() -> None:
    high, low = ready(Priority.HIGH, at=0.0, seq=1), ready(Priority.LOW, at=0.0, seq=2)
    _, lane = filled(high, low)
    assert lane.head(0.0, 0b11000) is low
    assert lane.head(0.0, 0b10000) is None
    assert lane.head(0.0) is high, "what is left out for once is not forgotten"


# -- deadlines -------------------------------------------------------------------


def test_the_earliest_deadline_goes_first_and_those_without_one_after_it() -> None:
    plain, late, early = ready(seq=1), ready(seq=2, due=9.0), ready(seq=3, due=5.0)
    queue, lane = filled(plain, late, early)
    assert order_of(queue, lane) == [early, late, plain]


def test_equal_deadlines_go_in_the_order_in_which_they_came() -> None:
    tasks = [ready(seq=seq, due=5.0) for seq in range(4)]
    queue, lane = filled(*tasks)
    assert order_of(queue, lane) == tasks


def test_a_stream_of_deadlines_lets_the_first_without_one_by_once_it_has_risen() -> None:
    plain = ready(at=0.0, seq=1)
    queue, lane = filled(plain, ready(at=0.0, seq=2, due=100.0))
    assert lane.head(AGEING_S - 0.1) is not plain
    assert lane.head(AGEING_S) is plain
    start(queue, plain)
    assert lane.head(AGEING_S) is not None


def test_a_deadline_counts_within_its_class_only() -> None:
    urgent, dated = ready(Priority.HIGH, seq=1), ready(Priority.NORMAL, seq=2, due=0.1)
    queue, lane = filled(urgent, dated)
    assert order_of(queue, lane) == [urgent, dated]


def test_many_can_be_taken_at_once_in_the_order_of_their_deadlines() -> None:
    tasks = [ready(seq=seq, needs=(), due=9.0 - seq) for seq in range(5)]
    queue, lane = filled(*tasks)
    assert queue.take(lane, 3, 0.0) == tasks[:1:-1]
    assert lane.size == queue.size == 2


# -- moving to another place ------------------------------------------------------


def test_a_task_that_is_raised_goes_behind_those_of_its_new_class() -> None:
    first, second, low = ready(Priority.HIGH, seq=1), ready(Priority.NORMAL, seq=2), ready(Priority.LOW, seq=3)
    queue, lane = filled(first, second, low)
    queue.promote(low, priority=Priority.HIGH)
    queue.check()
    assert order_of(queue, lane) == [first, low, second]


def test_a_claim_never_falls_and_one_without_needs_stands_apart_if_a_holder_waits_for_it() -> None:
    task, free = ready(claim=Claim.PERMIT), ready(needs=())
    queue, lane = filled(task, free)
    for claim in (Claim.START, Claim.PERMIT):
        queue.promote(task, claim=claim)
    queue.promote(free, claim=Claim.AWAITED)
    assert (task.claim, task.lane, lane.size) == (Claim.PERMIT, lane, 1)
    assert free.claim == Claim.AWAITED
    assert free.lane in queue.claims
    assert not queue.free.size
    assert len(queue.all()) == queue.size == 2


def test_what_a_holder_waits_for_never_stands_behind_what_needs_more() -> None:
    big, small = ready(needs=((0, 9),), claim=Claim.AWAITED), ready(needs=CPU, claim=Claim.AWAITED, seq=1)
    filled(big)
    queue, _ = filled(big, small)
    assert big.lane is not small.lane
    assert queue.claims == [big.lane, small.lane]


def test_lanes_of_sizes_that_do_not_come_again_are_given_up() -> None:
    start_lane = ready()
    queue, _ = filled(start_lane)
    for size in range(1000):
        task = ready(needs=((0, size + 1),), claim=Claim.AWAITED)
        queue.push(task)
        start(queue, task.lane.head(0.0))
        assert len(queue.lanes) <= 66
        assert len(queue.claims) <= 66
    assert start_lane.lane.head(0.0) is start_lane
    last = ready(needs=((0, 5000),), claim=Claim.AWAITED)
    queue.push(last)
    assert last.lane in queue.claims
    queue.check()


# -- what is counted ----------------------------------------------------------------


def test_starting_a_head_forgets_since_when_it_was_held_up() -> None:
    task = ready()
    queue, lane = filled(task)
    lane.tag = 5.0
    start(queue, task)
    assert lane.tag is None


def test_the_needs_of_a_lane_are_known_while_all_are_the_same() -> None:
    one, other = ready(needs=((0, 1),)), ready(needs=((0, 2),), seq=1)
    queue, lane = filled(one)
    assert lane.needs == ((0, 1),)
    queue.push(other)
    assert lane.needs is None
    order_of(queue, lane)
    again = ready(needs=((0, 2),))
    queue.push(again)
    assert lane.needs == ((0, 2),)


def test_the_position_counts_live_tasks_of_its_class_and_of_higher_ones() -> None:
    tasks = [ready(priority, seq=seq) for seq, priority in enumerate([2, 2, 1, 3, 2])]
    queue, lane = filled(*tasks)
    dated = ready(Priority.NORMAL, seq=9, due=5.0)
    queue.push(dated)
    assert [lane.position(task) for task in tasks] == [2, 3, 0, 5, 4]
    assert lane.position(dated) == 1
    tasks[0].state = State.CANCELLED
    assert lane.position(tasks[4]) == 3


def test_the_position_of_a_task_that_is_not_there_is_behind_all() -> None:
    _, lane = filled(ready())
    assert lane.position(ready(seq=1)) == 1


@pytest.mark.parametrize("due", [None, 5.0])
def test_a_lane_whose_counter_is_wrong_gives_what_it_has(due: float | None) -> None:
    tasks = [ready(priority, needs=(), due=due) for priority in (1, 2)]
    queue, lane = filled(*tasks)
    for task in tasks:
        task.state = State.CANCELLED  # behind the back of ``forget``
    assert queue.take(lane, 5, 0.0) == []


@pytest.mark.parametrize("counter", ["size", "critical"])
def test_the_check_sees_a_wrong_counter(counter: str) -> None:
    queue, _ = filled(ready())
    setattr(queue, counter, 2)
    with pytest.raises(AssertionError):
        queue.check()
