"""The whole state machine against a naive model of its tasks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenire.core.admission import Admission
from tenire.core.scheduler import BYPASS, Scheduler
from tenire.core.tasks import FINAL, READY, RUNNING, WAITING, Needs, Priority, State, Task

CPUS, MEMORY = 2000, 8
NEEDS: list[Needs] = [(), (), ((0, 1000),), ((0, 1000),), ((0, 2000),), ((1, 3),), ((1, 8),), ((0, 500), (1, 4))]
PIPELINES = st.sampled_from("abc")
ENDS = st.sampled_from([State.DONE, State.DONE, State.FAILED, State.CANCELLED])


class SchedulerMachine(RuleBasedStateMachine):
    """Few resources and pipelines, so that tasks get into each other's way."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(Admission(cpu=2, memory=MEMORY, threads=1, processes=1))
        self.now = 0.0
        self.tasks: list[Task] = []
        self.state: dict[Task, State] = {}
        self.after: dict[Task, list[Task]] = {}
        self.turn: dict[Task, int] = {}  # when it became ready, counted
        self.turns = 0
        self.holding: list[Task] = []  # running, or abandoned
        self.ends: dict[Task, int] = {}

    # -- the model --------------------------------------------------------

    def in_state(self, *states: State) -> list[Task]:
        return [task for task in self.tasks if self.state[task] in states]

    def now_ready(self, task: Task) -> None:
        self.state[task] = READY
        self.turns += 1
        self.turn[task] = self.turns

    def now_ended(self, task: Task, state: State) -> None:
        self.state[task] = state
        self.ends[task] = self.ends.get(task, 0) + 1
        for other in self.in_state(WAITING):
            before = self.after[other]
            if task not in before or self.state[other] != WAITING:
                continue
            if state != State.DONE:
                self.now_ended(other, State.FAILED)
            elif all(self.state[each] == State.DONE for each in before):
                self.now_ready(other)

    def take_doomed(self) -> list[Any]:
        doomed, self.scheduler.doomed = self.scheduler.doomed, []
        return doomed

    def expect_doomed(self, before: set[Task]) -> None:
        """Every task that ended without our doing is told once, with its reason."""
        told = [doom for doom in self.take_doomed() if doom.task.state >= FINAL]
        new = {task for task in self.tasks if self.state[task] >= FINAL} - before
        assert sorted(doom.task.seq for doom in told) == sorted(task.seq for task in new)
        for doom in told:
            assert doom.reason
            if doom.cause is not None:
                assert doom.cause in self.after[doom.task]
                assert doom.cause.state in (State.FAILED, State.CANCELLED)

    def final(self) -> set[Task]:
        return {task for task in self.tasks if self.state[task] >= FINAL}

    # -- what may happen ---------------------------------------------------

    @rule(
        pipeline=PIPELINES,
        priority=st.sampled_from(Priority),
        needs=st.sampled_from(NEEDS),
        back=st.lists(st.integers(1, 6), max_size=3),
        deadline=st.sampled_from([None, None, None, 0.0, 1.0, 7.0, 40.0]),
        copies=st.integers(1, 4),
    )
    def submit(
        self, pipeline: str, priority: Priority, needs: Needs, back: list[int], deadline: float | None, copies: int
    ) -> None:
        after = [self.tasks[-number] for number in back if number <= len(self.tasks)]
        for _ in range(copies):
            due = None if deadline is None else self.now + deadline
            task = Task(self.scheduler.shares.pipeline(pipeline), "t", priority, needs, due)
            before = self.final()
            self.tasks.append(task)
            self.after[task] = after
            if any(self.state[other] in (State.FAILED, State.CANCELLED) for other in after):
                self.now_ended(task, State.FAILED)
            elif all(self.state[other] == State.DONE for other in after):
                self.now_ready(task)
            else:
                self.state[task] = WAITING
            self.scheduler.submit(task, self.now, after)
            self.expect_doomed(before)

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.0, 6.0, 30.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(most=st.sampled_from([1, 2, 5, 256]))
    def decide(self, most: int) -> None:
        before = self.final()
        late = [t for t in self.in_state(WAITING, READY) if t.deadline is not None and t.deadline <= self.now]
        for task in late:
            if self.state[task] < FINAL:
                self.now_ended(task, State.FAILED)
        started = self.scheduler.decide(self.now, most)
        for task in [task for task in self.in_state(READY) if task.state == State.FAILED]:
            assert task.deadline is not None, "only those that cannot make their deadline end unasked"
            assert self.now < task.deadline
            self.now_ended(task, State.FAILED)
        for task in started:
            assert self.state[task] == READY
            assert all(other.state == State.DONE for other in self.after[task])
            assert task.deadline is None or task.deadline > self.now
            assert task.started_at == self.now
            self.state[task] = RUNNING
            self.holding.append(task)
        free = sum(not task.mask for task in started)
        assert free <= max(most, 3)
        assert len(started) - free <= most
        self.expect_doomed(before)
        self.judge_order(started)
        if len(started) < most:
            self.judge_idleness()

    def judge_order(self, started: list[Task]) -> None:
        left = self.in_state(READY)
        for task in started:
            for other in left:
                same = (task.pipeline, task.mask, task.priority) == (other.pipeline, other.mask, other.priority)
                assert not (same and self.turn[other] < self.turn[task]), "first come, first served"

    def judge_idleness(self) -> None:
        """Whatever is left cannot start, or stands behind what something is kept for."""
        admission = self.scheduler.admission
        left = self.in_state(READY)
        assert all(task.mask for task in left), "what needs nothing waits for nothing"
        heads = [
            head
            for pipeline in self.scheduler.shares.backlogged
            for lane in pipeline.queue.lanes.values()
            if (head := lane.head(self.now)) is not None
        ]
        lanes = [head.pipeline.queue.lanes[head.mask] for head in heads]
        kept = [
            head
            for head, lane in zip(heads, lanes, strict=True)
            if admission.lacking(head.needs)
            and admission.possible(head.needs)
            and (lane.bypassed >= BYPASS or lane.urgent())
        ]
        for head in heads:
            if not admission.lacking(head.needs):
                assert any(head.mask & other.mask for other in kept), "it fits and nothing is kept"
        if not self.holding:
            assert not any(admission.possible(head.needs) for head in heads), "the machine is idle for nothing"

    @precondition(lambda self: self.in_state(RUNNING))
    @rule(data=st.data(), state=ENDS)
    def finish(self, data: st.DataObject, state: State) -> None:
        task = data.draw(st.sampled_from(self.in_state(RUNNING)))
        self.holding.remove(task)
        before = self.final()
        self.now_ended(task, state)
        self.scheduler.finish(task, self.now, state)
        self.expect_doomed(before | {task})

    @precondition(lambda self: self.in_state(RUNNING))
    @rule(data=st.data(), state=st.sampled_from([State.FAILED, State.CANCELLED]))
    def abandon(self, data: st.DataObject, state: State) -> None:
        task = data.draw(st.sampled_from(self.in_state(RUNNING)))
        before = self.final()
        self.now_ended(task, state)
        self.scheduler.abandon(task, self.now, state)
        self.expect_doomed(before | {task})

    @rule(data=st.data())
    def reclaim(self, data: st.DataObject) -> None:
        abandoned = [task for task in self.holding if self.state[task] >= FINAL]
        if abandoned:
            task = data.draw(st.sampled_from(abandoned))
            self.holding.remove(task)
            self.scheduler.reclaim(task, self.now)

    @precondition(lambda self: self.in_state(RUNNING))
    @rule(data=st.data())
    def postpone(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.in_state(RUNNING)))
        self.holding.remove(task)
        self.state[task] = WAITING
        self.scheduler.postpone(task, self.now)

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Any task: only one that was postponed may care."""
        task = data.draw(st.sampled_from(self.tasks))
        before = self.final()
        postponed = self.state[task] == WAITING and all(o.state == State.DONE for o in self.after[task])
        if postponed:
            self.now_ready(task)
        self.scheduler.release(task, self.now)
        self.expect_doomed(before)

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.tasks))
        before = self.final()
        possible = self.state[task] in (WAITING, READY)
        if possible:
            self.now_ended(task, State.CANCELLED)
        assert self.scheduler.cancel(task, self.now) == possible
        self.expect_doomed(before | {task})

    @rule(pipeline=PIPELINES, weight=st.sampled_from([None, 0.01, 1.0, 50.0]), level=st.sampled_from([None, *Priority]))
    def configure(self, pipeline: str, weight: float | None, level: Priority | None) -> None:
        self.scheduler.shares.pipeline(pipeline).configure(weight=weight, priority=level)

    @rule(cpu=st.sampled_from([0, 1000, 2000, 2000, 3000]), memory=st.sampled_from([0, 4, 8, 8]))
    def resize(self, cpu: int, memory: int) -> None:
        self.scheduler.admission.register("cpu", cpu)
        self.scheduler.admission.register("memory", memory)

    # -- what always holds -------------------------------------------------

    @invariant()
    def agrees(self) -> None:
        scheduler = self.scheduler
        scheduler.check(self.holding)
        assert {task: task.state for task in self.tasks} == self.state
        assert scheduler.waiting == len(self.in_state(WAITING))
        assert scheduler.queued == len(self.in_state(WAITING, READY))
        assert scheduler.abandoned == sum(self.state[task] >= FINAL for task in self.holding)
        for name, pipeline in scheduler.shares.pipelines.items():
            own = [task for task in self.tasks if task.pipeline.name == name]
            assert pipeline.submitted == len(own)
            assert pipeline.ended == sum(self.state[task] >= FINAL for task in own)
            assert pipeline.queue.size == sum(self.state[task] == READY for task in own)
            held = sum(task.share for task in self.holding if task.mask and task.pipeline.name == name)
            assert pipeline.burst.held == pytest.approx(held, abs=1e-9)
        due = {t for t in self.tasks if t.deadline is not None and self.state[t] < FINAL}
        assert scheduler._deadlines.live <= len(due), "an ended task leaves nothing behind"
        for task in self.tasks:
            assert self.ends.get(task, 0) == (self.state[task] >= FINAL)
            assert scheduler.why(task, self.now)

    def teardown(self) -> None:
        """With the whole machine back and nothing failing any more, everything ends."""
        self.resize(CPUS, MEMORY)
        for _ in range(10 * len(self.tasks) + 10):
            for task in self.in_state(WAITING):
                if all(other.state == State.DONE for other in self.after[task]):
                    self.now_ready(task)
                    self.scheduler.release(task, self.now)
            self.decide(256)
            self.now += 1.0
            for task in list(self.holding):
                self.holding.remove(task)
                if self.state[task] >= FINAL:
                    self.scheduler.reclaim(task, self.now)
                else:
                    before = self.final()
                    self.now_ended(task, State.DONE)
                    self.scheduler.finish(task, self.now, State.DONE)
                    self.expect_doomed(before | {task})
            self.agrees()
        assert len(self.final()) == len(self.tasks), "no task waits for ever"
        assert self.scheduler.queued == self.scheduler.running == self.scheduler._deadlines.live == 0
        assert self.scheduler.admission.free[:2] == [CPUS, MEMORY]


TestScheduler = SchedulerMachine.TestCase
# Without shrinking: the trace of a broken rule is short enough, and shrinking it takes minutes.
TestScheduler.settings = settings(stateful_step_count=40, phases=[Phase.generate])
