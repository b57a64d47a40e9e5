"""The order within a pipeline, against a naive recomputation."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tenire.core.fair_share import PipelineShare
from tenire.core.ready_queue import AGEING_S, CRITICAL_RUN, Lane, ReadyQueue, aged
from tenire.core.tasks import READY, RUNNING, Needs, Priority, State, Task

PRIORITIES = st.sampled_from(Priority)
MASKS: list[Needs] = [(), ((0, 1),), ((0, 1), (1, 1))]


def ready(priority: int = Priority.NORMAL, *, at: float = 0.0, seq: int = 0, needs: Needs = ()) -> Task:
    task = Task(PipelineShare("p"), priority=priority, needs=needs)
    task.state, task.ready_at, task.seq = READY, at, seq
    return task


def one_lane() -> tuple[ReadyQueue, Lane]:
    queue = ReadyQueue()
    lane = queue.lanes[0] = Lane(0)
    return queue, lane


class QueueMachine(RuleBasedStateMachine):
    """Three lanes, five classes, and a clock that jumps by whole classes."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = ReadyQueue()
        self.now = 0.0
        self.seq = 0
        self.live: list[Task] = []  # in the order in which they became ready
        self.exceptions = dict.fromkeys(range(4), 0)

    @rule(priority=PRIORITIES, needs=st.sampled_from(MASKS), number=st.integers(1, 4))
    def push(self, priority: Priority, needs: Needs, number: int) -> None:
        for _ in range(number):
            self.seq += 1
            task = ready(priority, at=self.now, seq=self.seq, needs=needs)
            self.queue.push(task)
            self.live.append(task)

    @rule(classes=st.sampled_from([0.1, 0.5, 1, 2, 4]))
    def wait(self, classes: float) -> None:
        self.now += classes * AGEING_S

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.live:
            task = self.live.pop(data.draw(st.integers(0, len(self.live) - 1)))
            self.queue.forget(task)
            task.state = State.CANCELLED

    @rule(mask=st.sampled_from([0, 0b1, 0b11]), number=st.integers(1, 12))
    def pop(self, mask: int, number: int) -> None:
        for _ in range(number):
            lane = self.queue.lanes.get(mask)
            if lane is None:
                return
            task = lane.head(self.now)
            assert (task is None) == (lane.size == 0)
            if task is None:
                return
            assert lane.urgent() == any(other.mask == mask and not other.priority for other in self.live)
            self.judge(task)
            self.queue.pop(lane, task)
            self.gone(task)

    @rule(most=st.integers(0, 12))
    def take(self, most: int) -> None:
        there = sum(not task.mask for task in self.live)
        assert self.queue.free == there
        taken = self.queue.take_free(most, self.now)
        assert len(taken) == min(most, there)
        for task in taken:
            self.judge(task)
            self.gone(task)

    def judge(self, task: Task) -> None:
        """Rules 1 to 3, from scratch."""
        rivals = [other for other in self.live if other.mask == task.mask]
        assert task in rivals
        assert task is next(other for other in rivals if other.priority == task.priority), "first come, first served"
        level = min(aged(other, self.now) for other in rivals)
        assert aged(task, self.now) == level
        equal = [other for other in rivals if aged(other, self.now) == level]
        born_critical = any(not other.priority for other in equal)
        if task is equal[0]:
            self.exceptions[task.mask] = 0
        else:
            assert not task.priority, "only critical work goes before what became ready earlier"
            self.exceptions[task.mask] += 1
            assert self.exceptions[task.mask] <= CRITICAL_RUN
        if task.priority and born_critical:
            assert task is equal[0]

    def gone(self, task: Task) -> None:
        task.state = RUNNING
        self.live.remove(task)

    @invariant()
    def agrees(self) -> None:
        self.queue.check()
        assert self.queue.size == len(self.live)
        for lane in self.queue.lanes.values():
            assert sorted(task.seq for task in lane.live()) == [t.seq for t in self.live if t.mask == lane.mask]
            assert all(lane.holds(task) for task in self.live if task.mask == lane.mask)


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(stateful_step_count=50, max_examples=200)


def test_a_task_rises_one_class_at_exactly_each_thirty_seconds() -> None:
    assert AGEING_S == 30.0
    low = ready(Priority.LOW, at=5.0)
    assert [aged(low, 5.0 + wait) for wait in (0, 29.9, 30, 59.9, 60, 90, 9000)] == [3, 3, 2, 2, 1, 0, 0]


def test_tasks_of_one_class_come_out_in_the_order_in_which_they_came_in() -> None:
    queue, lane = one_lane()
    tasks = [ready(seq=seq) for seq in range(5)]
    for task in tasks:
        queue.push(task)
    for task in tasks:
        assert lane.head(0.0) is task
        queue.pop(lane, task)


def test_a_task_risen_to_a_class_goes_before_younger_ones_of_it() -> None:
    queue, lane = one_lane()
    low, high = ready(Priority.LOW, at=0.0, seq=1), ready(Priority.HIGH, at=50.0, seq=2)
    queue.push(low)
    queue.push(high)
    assert lane.head(59.9) is high
    assert lane.head(60.0) is low


def test_critical_work_goes_before_ten_thousand_aged_tasks() -> None:
    queue, lane = one_lane()
    for number in range(10_000):
        queue.push(ready(seq=number))
    critical = ready(Priority.CRITICAL, at=600.0, seq=10_000)
    queue.push(critical)
    assert lane.head(601.0) is critical


def test_a_stream_of_critical_work_lets_an_aged_task_by_after_eight() -> None:
    queue, lane = one_lane()
    low = ready(Priority.LOW, at=0.0)
    queue.push(low)
    order = []
    for number in range(1, 30):
        queue.push(ready(Priority.CRITICAL, at=100.0 + number, seq=number))
        head = lane.head(100.0 + number)
        assert head is not None
        lane.pop(head)
        order.append(head)
    assert order.index(low) == CRITICAL_RUN


def test_starting_a_head_forgets_how_often_it_was_passed_over() -> None:
    queue, lane = one_lane()
    task = ready()
    queue.push(task)
    lane.bypassed = 5
    lane.pop(task)
    assert lane.bypassed == 0


def test_the_position_counts_live_tasks_of_its_class_and_of_higher_ones() -> None:
    queue, lane = one_lane()
    tasks = [ready(priority, seq=seq) for seq, priority in enumerate([2, 2, 1, 3, 2])]
    for task in tasks:
        queue.push(task)
    assert [lane.position(task) for task in tasks] == [1, 2, 0, 4, 3]
    tasks[0].state = State.CANCELLED
    assert lane.position(tasks[4]) == 2


def test_the_position_of_a_task_that_is_not_there_is_behind_all() -> None:
    queue, lane = one_lane()
    queue.push(ready())
    assert lane.position(ready()) == 1


def test_a_lane_whose_counter_is_wrong_gives_what_it_has() -> None:
    queue, lane = one_lane()
    tasks = [ready(priority) for priority in (1, 2)]
    for task in tasks:
        queue.push(task)
        task.state = State.CANCELLED  # behind the back of ``forget``
    assert lane.take(5, 0.0) == []


def test_the_check_sees_a_wrong_counter() -> None:
    queue = ReadyQueue()
    queue.push(ready())
    queue.size = 2
    with pytest.raises(AssertionError):
        queue.check()
