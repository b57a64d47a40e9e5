"""Which task starts next: the one state machine behind every start and permit.

It composes the other decisions in the order of the architecture's flow: task
input → priority queue → dependency check → burst protection → execution. The
caller feeds it what happened (``submit``, ``finish``, ``cancel``), then asks
``decide`` what to do, and does exactly that.

1. Every submitted task ends exactly once, as DONE, FAILED or CANCELLED.
2. A task starts at most once for each time that it became ready, never before
   all tasks it waits for are DONE, never after its deadline.
3. All resources of a task are taken in one step; what is held never exceeds the
   capacity.
4. Tasks that need nothing compete for nothing: they start at once, in turns of
   the pipelines, a bounded number at a time so that the loop stays responsive.
5. Of the others, ``selection`` chooses.
6. If fewer than ``most`` tasks come back from ``decide``, no other can start now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.deadlines import DeadlineHeap
from tenire.core.dependencies import link, resolve
from tenire.core.fair_share import FairShare, PipelineShare
from tenire.core.history import DurationHistory
from tenire.core.selection import Selection
from tenire.core.tasks import DONE, FINAL, READY, RUNNING, WAITING, Needs, Priority, Resources, State, Task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tenire.core.admission import Admission
    from tenire.core.ready_queue import Lane

__all__ = ["BYPASS", "Doom", "Scheduler"]

BYPASS = 2
"""How often others may start ahead of a task that lacks something: at four, memory is
used 5 % better but one pipeline waits ten times as long; at eight, shares are not fair."""


class Doom:
    """A task that ends without running, or before it is done.

    Attributes:
        task: The task.
        cause: The task whose failure ends it; ``None`` if its deadline does.
        reason: One sentence for people.
    """

    __slots__ = ("cause", "reason", "task")

    def __init__(self, task: Task, cause: Task | None, reason: str) -> None:
        self.task = task
        self.cause = cause
        self.reason = reason


class Scheduler:
    """The scheduler's state machine.

    Attributes:
        admission: The resources.
        shares: The pipelines.
        running: Tasks that run now, abandoned ones included.
        abandoned: Tasks that ended but still hold what they took.
        waiting: Tasks that wait for other tasks, or for their next try.
        doomed: Tasks that ended without the caller's doing; the caller takes them out.
    """

    __slots__ = (
        "_deadlines",
        "_history",
        "_selection",
        "_seq",
        "abandoned",
        "admission",
        "doomed",
        "running",
        "shares",
        "waiting",
    )

    def __init__(self, admission: Admission, *, bypass: int = BYPASS) -> None:
        self.admission = admission
        self.shares = FairShare()
        self.running = 0
        self.abandoned = 0
        self.waiting = 0
        self.doomed: list[Doom] = []
        self._selection = Selection(admission, self.shares, bypass=bypass)
        self._seq = 0
        self._deadlines: DeadlineHeap[Task] = DeadlineHeap()
        self._history = DurationHistory()

    # -- what happened ---------------------------------------------------

    def submit(self, task: Task, now: float, after: Iterable[Task] = ()) -> None:
        """Take in a task. It may end at once, if one it waits for has failed."""
        self._seq = task.seq = self._seq + 1
        pipeline = task.pipeline
        pipeline.submitted += 1
        if after:
            broken = link(task, after)
            if broken is not None:
                self._doom(task, broken)
                return
        if task.deadline is not None:
            task.timer = self._deadlines.add(int(task.deadline * 1e9), task)
        if task.blockers:
            self.waiting += 1
        else:
            self._make_ready(task, now)

    def finish(self, task: Task, now: float, state: State) -> None:
        """Take in that a running task ended; frees what it held."""
        pipeline = task.pipeline
        if task.mask:
            self._give_back(task, now)
        pipeline.running -= 1
        self.running -= 1
        if task.dependents is None and task.deadline is None:
            task.state = state
            pipeline.ended += 1
        else:
            self._end(task, now, state)

    def abandon(self, task: Task, now: float, state: State) -> None:
        """Take in that a running task counts as ended though it cannot be stopped.

        It keeps what it holds until ``reclaim``: a thread that hangs still uses
        its slot and its memory.
        """
        self.abandoned += 1
        self._end(task, now, state)

    def reclaim(self, task: Task, now: float) -> None:
        """Take in that an abandoned task has really ended; frees what it held."""
        if task.mask:
            self._give_back(task, now)
        task.pipeline.running -= 1
        self.running -= 1
        self.abandoned -= 1

    def postpone(self, task: Task, now: float) -> None:
        """Take back a running task that will be tried again; ``release`` makes it ready."""
        if task.mask:
            self._give_back(task, now)
        task.pipeline.running -= 1
        self.running -= 1
        task.state = WAITING
        self.waiting += 1
        if task.deadline is not None and task.timer.payload is None:
            # It ran at its deadline and was told so; now it must not start after it.
            task.timer = self._deadlines.add(int(task.deadline * 1e9), task)

    def release(self, task: Task, now: float) -> None:
        """Make a postponed task ready; does nothing if it has ended meanwhile."""
        if task.state == WAITING and not task.blockers:
            self.waiting -= 1
            self._make_ready(task, now)

    def cancel(self, task: Task, now: float) -> bool:
        """End a task that does not run; return whether it was so."""
        if task.state >= RUNNING:
            return False
        self._withdraw(task)
        self._end(task, now, State.CANCELLED)
        return True

    def _make_ready(self, task: Task, now: float) -> None:
        task.state = READY
        task.ready_at = now
        pipeline = task.pipeline
        if not pipeline.queue.size:
            self.shares.filled(pipeline)
        pipeline.queue.push(task)

    # -- what to do ------------------------------------------------------

    def decide(self, now: float, most: int) -> list[Task]:
        """Return the tasks to start now; they count as running.

        Tasks whose deadline has passed are in ``doomed`` afterwards: those that
        had not started have ended, those that run are the caller's to end. So are
        those whose turn it was but that cannot make their deadline any more.

        Args:
            now: Seconds on a clock that never goes back.
            most: How many that need nothing may start, and how many others; if
                there are more pipelines than that, one of each may.
        """
        if self._deadlines.live:
            self._expire(now)
        backlogged = self.shares.backlogged
        if not backlogged:
            return []
        started = self._start_free(now, most)
        most += len(started)  # those with needs have a bound of their own
        while backlogged and len(started) < most:
            choice = self._selection.choose(now)
            if choice is None:
                break
            if self._start(*choice, now):
                started.append(choice[1])
        return started

    def next_deadline(self) -> float | None:
        """Return when ``decide`` must be asked again though nothing happened."""
        # The task's own figure: nanoseconds turned back into seconds may come out one
        # rounding early, and a caller that wakes exactly then would spin.
        task = self._deadlines.first()
        return None if task is None else task.deadline

    # -- the decision ----------------------------------------------------

    def _start_free(self, now: float, most: int) -> list[Task]:
        """Start tasks that need nothing, in equal parts of the pipelines, at least one of each."""
        started: list[Task] = []
        eager = [pipeline for pipeline in self.shares.backlogged if pipeline.queue.free]
        left = most
        while eager:
            each = max(1, left // len(eager))
            for pipeline in eager:
                started += self._start_some(pipeline, each, now)
            left = most - len(started)
            eager = [pipeline for pipeline in eager if pipeline.queue.free][: max(0, left)]
        self.running += len(started)
        return started

    def _start_some(self, pipeline: PipelineShare, most: int, now: float) -> list[Task]:
        """Start up to ``most`` of a pipeline's tasks that need nothing."""
        queue = pipeline.queue
        taken = queue.take_free(most, now)
        if not queue.size:
            self.shares.drained(pipeline)
        if self._deadlines.live:
            taken = [task for task in taken if not self._hopeless(task, now)]
        for task in taken:
            task.state = RUNNING
            task.started_at = now
        pipeline.running += len(taken)
        return taken

    def _start(self, lane: Lane, task: Task, now: float) -> bool:
        pipeline = task.pipeline
        queue = pipeline.queue
        queue.pop(lane, task)
        if not queue.size:
            self.shares.drained(pipeline)
        if self._hopeless(task, now):
            return False
        share = task.share = self.admission.share(task.needs)
        self.admission.take(task.needs)
        pipeline.burst.held += share
        self.shares.charge(task, share)
        task.state = RUNNING
        task.started_at = now
        pipeline.running += 1
        self.running += 1
        return True

    # -- endings ---------------------------------------------------------

    def _give_back(self, task: Task, now: float) -> None:
        share = task.share  # as it was at the start: the capacity may have changed since
        self.admission.give(task.needs)
        burst = task.pipeline.burst
        if burst.fair < 1.0:
            burst.advance(now)
        burst.held -= share
        self.shares.settle(task, share, now - task.started_at)

    def _withdraw(self, task: Task) -> None:
        if task.state == READY:
            queue = task.pipeline.queue
            queue.forget(task)
            if not queue.size:
                self.shares.drained(task.pipeline)
        else:
            self.waiting -= 1

    def _end(self, task: Task, now: float, state: State) -> None:
        task.state = state
        task.pipeline.ended += 1
        if task.deadline is not None:
            self._deadlines.cancel(task.timer)
            if state == DONE:
                self._history.record(task.name, now - task.started_at)
        if task.dependents is not None:
            freed, broken = resolve(task)
            for dependent in freed:
                self.waiting -= 1
                self._make_ready(dependent, now)
            self._doom_all(broken, task)

    def _doom_all(self, tasks: list[Task], cause: Task) -> None:
        # A work list instead of recursion: a chain may be a million tasks long.
        pending = [(task, cause) for task in tasks]
        while pending:
            task, because = pending.pop()
            if task.state != WAITING:
                continue  # it waited for the same failure twice
            self.waiting -= 1
            self._doom(task, because)
            if task.deadline is not None:
                self._deadlines.cancel(task.timer)
            pending.extend((dependent, task) for dependent in resolve(task)[1])

    def _doom(self, task: Task, cause: Task) -> None:
        what = "was cancelled" if cause.state == State.CANCELLED else "failed"
        task.state = State.FAILED
        task.blockers = 0
        task.pipeline.ended += 1
        self.doomed.append(Doom(task, cause, f"it waits for {cause.name!r}, which {what}"))

    def _expire(self, now: float) -> None:
        for task in self._deadlines.pop_due(int(now * 1e9)):
            if task.state >= FINAL:
                continue
            if task.state == RUNNING:
                self.doomed.append(Doom(task, None, "it was still running at its deadline"))
            else:
                self._miss(task, now, "it had not started by its deadline")

    def _hopeless(self, task: Task, now: float) -> bool:
        """End a task, already out of its queue, that cannot make its deadline."""
        if task.deadline is None:
            return False
        usual = self._history.usual(task.name)
        if usual is None or now + usual <= task.deadline:
            return False
        self._end(task, now, State.FAILED)
        left = max(0.0, task.deadline - now)
        reason = f"it usually takes {usual:.3g} s and only {left:.3g} s are left"
        self.doomed.append(Doom(task, None, reason))
        return True

    def _miss(self, task: Task, now: float, reason: str) -> None:
        self._withdraw(task)
        self._end(task, now, State.FAILED)
        self.doomed.append(Doom(task, None, reason))

    # -- looking ---------------------------------------------------------

    @property
    def queued(self) -> int:
        """Number of tasks that wait, for whatever reason."""
        return self.waiting + sum(pipeline.queue.size for pipeline in self.shares.backlogged)

    def needs(self, resources: Resources, *, task: str) -> Needs:
        """See ``Admission.needs``."""
        return self.admission.needs(resources, task=task)

    def why(self, task: Task, now: float) -> str:
        """Return what holds a task back, in one sentence."""
        if task.state == WAITING:
            if task.blockers:
                return f"it waits for {task.blockers} unfinished task(s)"
            return "it failed and waits for its next try"
        if task.state != READY:
            return f"it is {State(task.state).name.lower()}"
        lane = task.pipeline.queue.lanes[task.mask]
        lacking = self.admission.named(self.admission.lacking(task.needs))
        if lane.head(now) is not task:
            ahead = max(1, lane.position(task))  # at least the head, which may have aged past it
            level = Priority(task.priority).name.lower()
            return f"{ahead} task(s) of pipeline {task.pipeline.name!r} are in front of it (priority {level})"
        if lacking:
            return f"it is next in its pipeline and waits for {' and '.join(lacking)}"
        if task.pipeline.burst.cooling:
            return f"pipeline {task.pipeline.name!r} used up its burst credit, so others go first"
        return "it is next in its pipeline and starts at the next decision"

    def check(self, running: Iterable[Task]) -> None:
        """Verify the rules, given the tasks that run, abandoned ones included."""
        running = list(running)
        assert len(running) == self.running
        assert all(task.state >= RUNNING for task in running)
        assert self.abandoned == sum(task.state != RUNNING for task in running)
        self.admission.check(running)
        self.shares.check()
        self._deadlines.check()
        for pipeline in self.shares.pipelines.values():
            pipeline.burst.check()
            assert pipeline.running == sum(task.pipeline is pipeline for task in running)
        assert self.waiting >= 0
