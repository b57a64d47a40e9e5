"""The whole state machine against a naive model of its tasks and permits."""

from __future__ import annotations

from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenire.core.admission import Admission
from tenire.core.explain import GATES, why
from tenire.core.ready_queue import Lane
from tenire.core.scheduler import Scheduler
from tenire.core.tasks import FINAL, READY, RUNNING, WAITING, Claim, Needs, Priority, State, Task

CPUS, MEMORY, RPM = 2000, 8, 4
NEEDS: list[Needs] = [
    (), (), ((0, 1000),), ((0, 1000),), ((0, 2000),), ((1, 3),), ((1, 8),), ((0, 500), (1, 4)), ((4, 1),),
    ((2, 1),), ((0, 1000), (4, 3)),
]  # fmt: skip
PIPELINES = st.sampled_from("abc")
ENDS = st.sampled_from([State.DONE, State.DONE, State.FAILED, State.CANCELLED])


class SchedulerMachine(RuleBasedStateMachine):
    """Few resources and pipelines, so that tasks get into each other's way."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(Admission(cpu=2, memory=MEMORY, threads=1, processes=1))
        self.scheduler.admission.register_rate("rpm", 2.0, RPM)
        self.now = 0.0
        self.tasks: list[Task] = []
        self.state: dict[Task, State] = {}
        self.after: dict[Task, list[Task]] = {}
        self.priority: dict[Task, int] = {}
        self.postponed: set[Task] = set()
        self.turn: dict[Task, int] = {}  # when it came into its queue, counted
        self.turns = 0
        self.holding: list[Task] = []  # running, or abandoned
        self.ends: dict[Task, int] = {}
        self.starts: dict[Task, int] = {}
        self.readied: dict[Task, int] = {}
        self.holder: dict[Task, Task] = {}  # of permits
        self.waits: list[tuple[Task, Task]] = []
        self.claim: dict[Task, int] = {}

    # -- the model --------------------------------------------------------

    def in_state(self, *states: State) -> list[Task]:
        return [task for task in self.tasks if self.state[task] in states]

    def now_ready(self, task: Task) -> None:
        self.state[task] = READY
        self.readied[task] = self.readied.get(task, 0) + 1
        self.queued_now(task)

    def queued_now(self, task: Task) -> None:
        self.turn[task] = self.turns
        self.claim[task] = task.claim

    def queued_elsewhere(self) -> None:
        """Those that got a higher claim went to the end of another lane, all at once."""
        self.turns += 1
        for task in self.in_state(READY):
            if task.mask and task.claim != self.claim.get(task, task.claim):
                self.turn[task] = self.turns
            self.claim[task] = task.claim

    def now_ended(self, task: Task, state: State) -> None:
        self.state[task] = state
        self.postponed.discard(task)
        self.ends[task] = self.ends.get(task, 0) + 1
        for other in self.in_state(WAITING):
            before = self.after[other]
            if task not in before or self.state[other] != WAITING:
                continue
            if state != State.DONE and not other.always:
                self.now_ended(other, State.FAILED)
            elif all(self.state[each] == State.DONE or (other.always and self.state[each] >= FINAL) for each in before):
                self.now_ready(other)

    def now_urgent(self, task: Task, priority: int) -> None:
        if self.state[task] not in (WAITING, READY) or self.priority[task] <= priority:
            return
        self.priority[task] = priority
        if self.state[task] == READY:
            self.queued_now(task)
        elif task not in self.postponed:
            for other in self.after[task]:
                self.now_urgent(other, priority)

    def take_doomed(self) -> list[Any]:
        doomed, self.scheduler.doomed = self.scheduler.doomed, []
        return doomed

    def expect_doomed(self, before: set[Task]) -> None:
        """Every task that ended without our doing is told once, with its reason."""
        self.turns += 1  # among what came into the queues by one event there is no order
        told = [doom for doom in self.take_doomed() if doom.task.state >= FINAL]
        new = self.final() - before
        assert sorted(doom.task.seq for doom in told) == sorted(task.seq for task in new)
        for doom in told:
            assert doom.reason
            if doom.cause is not None:
                assert doom.cause in self.after[doom.task]
                assert doom.cause.state in (State.FAILED, State.CANCELLED)

    def final(self) -> set[Task]:
        return {task for task in self.tasks if self.state[task] >= FINAL}

    def hopeless(self, task: Task, *, contended: bool) -> bool:
        if task.deadline is None:
            return False
        return self.scheduler._expiry.hopeless(task, task.deadline, self.now, contended=contended) is not None

    def leave(self, task: Task) -> None:
        """What code does when it ends: it waits for nothing any more, and its permits are closed."""
        for holder, target in [wait for wait in self.waits if task in wait]:
            self.scheduler.waits.end(holder, target)
            self.waits.remove((holder, target))
        for permit, holder in list(self.holder.items()):
            if holder is task:
                if self.state[permit] == RUNNING:
                    self.end_running(permit, State.DONE)
                elif self.state[permit] < FINAL:
                    before = self.final()
                    self.now_ended(permit, State.CANCELLED)
                    assert self.scheduler.cancel(permit, self.now)
                    self.expect_doomed(before | {permit})
                    self.waits = [wait for wait in self.waits if wait[1] is not permit]

    def end_running(self, task: Task, state: State) -> None:
        self.leave(task)
        self.holding.remove(task)
        holder = self.holder.get(task)
        if holder is not None:
            assert holder.permits is not None
            holder.permits.remove(task)
        before = self.final()
        self.now_ended(task, state)
        self.scheduler.finish(task, self.now, state)
        self.expect_doomed(before | {task})

    # -- what may happen ---------------------------------------------------

    @rule(
        pipeline=PIPELINES,
        priority=st.sampled_from(Priority),
        needs=st.sampled_from(NEEDS),
        back=st.lists(st.integers(1, 6), max_size=3),
        deadline=st.sampled_from([None, None, None, 0.0, 1.0, 7.0, 40.0]),
        copies=st.integers(1, 4),
        always=st.sampled_from([False, False, True]),
    )
    def submit(
        self,
        pipeline: str,
        priority: Priority,
        needs: Needs,
        back: list[int],
        deadline: float | None,
        copies: int,
        always: bool,
    ) -> None:
        after = [self.tasks[-number] for number in back if number <= len(self.tasks)]
        for _ in range(copies):
            due = None if deadline is None else self.now + deadline
            task = Task(self.scheduler.shares.pipeline(pipeline), "t", priority, needs, due, always=always)
            before = self.final()
            self.tasks.append(task)
            self.after[task] = after
            self.priority[task] = priority
            self.state[task] = WAITING
            if not always and any(self.state[other] in (State.FAILED, State.CANCELLED) for other in after):
                self.now_ended(task, State.FAILED)
            else:
                for other in after:
                    self.now_urgent(other, priority)
                if self.hopeless(task, contended=False):
                    self.now_ended(task, State.FAILED)
                elif all(self.state[other] >= FINAL for other in after):
                    self.now_ready(task)
            self.scheduler.submit(task, self.now, after)
            self.expect_doomed(before)

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.0, 6.0, 30.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(most=st.sampled_from([1, 2, 5, 256]))
    def decide(self, most: int) -> None:
        before = self.final()
        late = [t for t in self.in_state(WAITING, READY) if t.deadline is not None and t.deadline <= self.now]
        for task in sorted(late, key=lambda one: (one.deadline, one.timer.due)):
            if self.state[task] < FINAL:
                self.now_ended(task, State.FAILED)
        started = self.scheduler.decide(self.now, most)
        for task in [task for task in self.in_state(READY) if task.state == State.FAILED]:
            assert self.hopeless(task, contended=True), "only those that cannot make their deadline end unasked"
            self.now_ended(task, State.FAILED)
        self.judge_limits(started)
        for task in started:
            self.judge_start(task)
        free = sum(not task.mask for task in started)
        pipelines = len(self.scheduler.shares.pipelines)
        assert free <= max(most, pipelines)
        assert len(started) - free <= max(most, pipelines * len(NEEDS))
        self.expect_doomed(before)
        self.judge_order(started)
        if len(started) < most:
            self.judge_idleness()

    def judge_start(self, task: Task) -> None:
        assert self.state[task] == READY
        for other in self.after[task]:
            assert other.state == State.DONE or (task.always and other.state >= FINAL)
        assert task.deadline is None or task.deadline > self.now
        assert task.started_at == self.now
        assert task.claim or task.pipeline.suspended is None
        assert task.claim or not task.mask or task.priority <= self.scheduler.selection.lowest_class
        self.state[task] = RUNNING
        self.starts[task] = self.starts.get(task, 0) + 1
        assert self.starts[task] <= self.readied[task], "it started twice"
        self.holding.append(task)
        if task in self.holder:
            self.open(task)

    def judge_limits(self, started: list[Task]) -> None:
        before = list(self.holding)
        for task in started:
            assert task.claim or not self.over_limit(task, before), "it starts beyond what may be held for now"
            before.append(task)

    def over_limit(self, task: Task, holding: list[Task]) -> bool:
        """Return whether a start would have more held than may be, where something is held already."""
        for index, amount in task.needs:
            limit = self.scheduler.selection.limits.get(index)
            held = sum(dict(other.needs).get(index, 0) for other in holding)
            if limit is not None and held and held + amount > limit:
                return True
        return False

    def open(self, permit: Task) -> None:
        holder = self.holder[permit]
        if holder.permits is None:
            holder.permits = []
        holder.permits.append(permit)
        self.scheduler.waits.end(holder, permit)
        self.waits = [wait for wait in self.waits if wait[1] is not permit]
        self.scheduler.waits.holds_now(holder)
        self.queued_elsewhere()

    def judge_order(self, started: list[Task]) -> None:
        left = [task for task in self.in_state(READY) if task.deadline is None]
        for task in started:
            for other in left:
                if task.deadline is None and task.lane is other.lane and task.priority == other.priority:
                    assert self.turn[task] <= self.turn[other], "first come, first served"

    def judge_idleness(self) -> None:
        """Whatever is left cannot start, or stands behind what something is kept for."""
        admission, selection = self.scheduler.admission, self.scheduler.selection
        for pipeline in self.scheduler.shares.backlogged:
            if pipeline.suspended is not None:
                assert not any(lane.size for lane in pipeline.queue.claims if self.fitting(lane))
                continue
            assert not pipeline.queue.free.size, "what needs nothing waits for nothing"
            for lane in pipeline.queue.lanes.values():
                head = self.fitting(lane)
                if head is None:
                    continue
                # A decision ends early if all that is left is kept for critical work.
                keeper = lane.gate if lane.round == selection.round else selection.kept_for(lane.mask)
                assert isinstance(keeper, Lane), f"it fits, and {keeper!r} holds it up"
                assert keeper.size
                assert keeper.mask & lane.mask, "kept is what it needs"
                assert lane.claim < Claim.AWAITED, "it goes before all that anything is kept for"
                if not self.holding:
                    lacks = admission.lacking(keeper.head(self.now).needs) if keeper.head(self.now) else 0
                    assert lacks & admission.rate_mask, "the machine is idle for nothing"

    def fitting(self, lane: Lane) -> Task | None:
        """Return the head of a lane if it may start and everything that it needs is free."""
        classes = (2 << self.scheduler.selection.lowest_class) - 1
        head = lane.head(self.now) if lane.claim else lane.head(self.now, classes)
        if not lane.size or head is None or self.scheduler.admission.lacking(head.needs):
            return None
        selection = self.scheduler.selection
        if not lane.claim and self.over_limit(head, self.holding):
            return None
        return None if lane.gate == "overload" and lane.round == selection.round else head

    @precondition(lambda self: self.in_state(RUNNING))
    @rule(data=st.data(), state=ENDS)
    def finish(self, data: st.DataObject, state: State) -> None:
        task = data.draw(st.sampled_from(self.in_state(RUNNING)))
        self.end_running(task, state)

    @precondition(lambda self: self.own_running())
    @rule(data=st.data(), state=st.sampled_from([State.FAILED, State.CANCELLED]))
    def abandon(self, data: st.DataObject, state: State) -> None:
        task = data.draw(st.sampled_from(self.own_running()))
        before = self.final()
        self.now_ended(task, state)
        self.scheduler.abandon(task, self.now, state)
        self.expect_doomed(before | {task})

    @rule(data=st.data())
    def reclaim(self, data: st.DataObject) -> None:
        abandoned = [task for task in self.holding if self.state[task] >= FINAL]
        if abandoned:
            self.take_back(data.draw(st.sampled_from(abandoned)))

    def take_back(self, task: Task) -> None:
        self.leave(task)
        self.holding.remove(task)
        self.scheduler.reclaim(task, self.now)
        assert not task.holds()

    @precondition(lambda self: self.own_running())
    @rule(data=st.data())
    def postpone(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.own_running()))
        self.leave(task)
        self.holding.remove(task)
        self.state[task] = WAITING
        self.postponed.add(task)
        self.scheduler.postpone(task, self.now)

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Any task: only one that was postponed may care."""
        task = data.draw(st.sampled_from(self.tasks))
        before = self.final()
        if task in self.postponed:
            self.postponed.discard(task)
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
            self.leave(task)
            self.now_ended(task, State.CANCELLED)
        assert self.scheduler.cancel(task, self.now) == possible
        self.expect_doomed(before | {task})

    @rule(data=st.data(), needs=st.sampled_from(NEEDS))
    def renew(self, data: st.DataObject, needs: Needs) -> None:
        """More is known of what something needs; it keeps its place."""
        same = [index for index, _ in needs]
        waiting = [task for task in self.in_state(READY) if [index for index, _ in task.needs] == same and needs]
        waiting = [task for task in waiting if task.claim < Claim.AWAITED]
        if waiting:
            task = data.draw(st.sampled_from(waiting))
            lane = task.lane
            task.pipeline.queue.renew(task, needs)
            assert (task.needs, task.lane) == (needs, lane)

    # -- permits, waiting ----------------------------------------------------

    def own_running(self) -> list[Task]:
        """Running tasks that are no permits."""
        return [task for task in self.in_state(RUNNING) if task not in self.holder]

    @precondition(lambda self: self.own_running())
    @rule(data=st.data(), needs=st.sampled_from(NEEDS), priority=st.sampled_from(Priority))
    def ask(self, data: st.DataObject, needs: Needs, priority: Priority) -> None:
        """As the shell does."""
        scheduler, holder = self.scheduler, data.draw(st.sampled_from(self.own_running()))
        permit = Task(holder.pipeline, "permit", priority, needs)
        held = holder.holds()
        before = list(scheduler.admission.free)
        if held and not scheduler.waits.in_order(held, needs):
            scheduler.admission.refill(self.now)
            lacking = scheduler.admission.lacking(needs)
            before = list(scheduler.admission.free)
            assert scheduler.grant(permit, self.now) == lacking
            if lacking:
                assert scheduler.admission.free == before, "a refused permit costs nothing"
                return
            self.add_permit(permit, holder, RUNNING)
            self.holding.append(permit)
            self.open(permit)
            return
        permit.claim = Claim.AWAITED if held else Claim.PERMIT
        self.add_permit(permit, holder, READY)
        self.now_ready(permit)
        scheduler.submit(permit, self.now)
        if scheduler.waits.wait_for(holder, permit, in_order=True):
            self.waits.append((holder, permit))
            self.queued_elsewhere()
        else:
            self.now_ended(permit, State.CANCELLED)
            scheduler.cancel(permit, self.now)

    def add_permit(self, permit: Task, holder: Task, state: State) -> None:
        self.tasks.append(permit)
        self.state[permit] = state
        self.after[permit] = []
        self.priority[permit] = permit.priority
        self.holder[permit] = holder

    @precondition(lambda self: self.own_running())
    @rule(data=st.data())
    def wait_for(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(self.own_running()))
        targets = [task for task in self.tasks if self.state[task] < FINAL and task not in self.holder]
        target = data.draw(st.sampled_from(targets))
        before = dict(self.scheduler.waits._targets)
        if self.scheduler.waits.wait_for(holder, target):
            assert holder is not target
            self.waits.append((holder, target))
            self.now_urgent(target, holder.priority)
            self.queued_elsewhere()
        else:
            assert self.scheduler.waits._targets == before, "nothing has changed"

    # -- settings ------------------------------------------------------------

    @rule(
        pipeline=PIPELINES,
        weight=st.sampled_from([None, 0.01, 1.0, 50.0]),
        level=st.sampled_from([None, *Priority]),
        suspended=st.sampled_from([None, None, "unhealthy"]),
        lowest=st.sampled_from([Priority.IDLE, Priority.IDLE, *Priority]),
        burst=st.booleans(),
    )
    def configure(
        self,
        pipeline: str,
        weight: float | None,
        level: Priority | None,
        suspended: str | None,
        lowest: Priority,
        burst: bool,
    ) -> None:
        share = self.scheduler.shares.pipeline(pipeline)
        self.scheduler.shares.configure(pipeline, weight=weight, priority=level)
        share.suspended = suspended
        self.scheduler.selection.lowest_class = lowest
        self.scheduler.selection.burst_allowed = burst

    @rule(
        cpu=st.sampled_from([0, 1000, 2000, 2000, 3000]),
        memory=st.sampled_from([0, 4, 8, 8]),
        limits=st.sampled_from([{}, {0: 0}, {0: 1000}, {1: 0}, {1: 4}, {0: 1000, 1: 3}]),
    )
    def resize(self, cpu: int, memory: int, limits: dict[int, int]) -> None:
        self.scheduler.admission.register("cpu", cpu)
        self.scheduler.admission.register("memory", memory)
        self.scheduler.selection.limits = dict(limits)

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
        due = {t for t in self.tasks if t.deadline is not None and self.state[t] < FINAL}
        assert scheduler._expiry.live <= len(due), "an ended task leaves nothing behind"
        for task in self.tasks:
            assert self.ends.get(task, 0) == (self.state[task] >= FINAL)
            assert task.priority == self.priority[task] or task in self.holder
            gate = why(scheduler, task, self.now)
            assert gate.name in GATES
            assert gate.reason
            assert (gate.name == "none") == (self.state[task] >= RUNNING)
            assert (gate.name in ("dependency", "retry")) == (self.state[task] == WAITING)

    def teardown(self) -> None:
        """With the whole machine back and nothing failing any more, everything ends."""
        self.resize(CPUS, MEMORY, self.scheduler.selection.limits)
        for pipeline in "abc":
            self.configure(pipeline, None, None, None, Priority.IDLE, True)
        for _ in range(10 * len(self.tasks) + 10):
            for task in list(self.postponed):
                self.postponed.discard(task)
                self.now_ready(task)
                self.scheduler.release(task, self.now)
            self.decide(256)
            self.now += 1.0
            for holder, target in list(self.waits):
                if self.state[target] >= FINAL:
                    self.scheduler.waits.end(holder, target)
                    self.waits.remove((holder, target))
            waiting = {holder for holder, _ in self.waits}
            for task in list(self.holding):
                if task in self.holding and task not in waiting and self.holder.get(task) not in waiting:
                    if self.state[task] >= FINAL:
                        self.take_back(task)
                    else:
                        self.end_running(task, State.DONE)
            self.agrees()
        assert len(self.final()) == len(self.tasks), "no task waits for ever"
        assert self.scheduler.queued == self.scheduler.running == self.scheduler._expiry.live == 0
        assert self.scheduler.admission.free[:2] == [CPUS, MEMORY]


TestScheduler = SchedulerMachine.TestCase
# Without shrinking: the trace of a broken rule is short enough, and shrinking it takes minutes.
TestScheduler.settings = settings(stateful_step_count=40, phases=[Phase.generate])
