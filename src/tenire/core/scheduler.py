"""Which task starts next: the one state machine behind every start and permit.

It composes the other decisions in the order of the architecture's flow: task
input → priority queue → dependency check → burst protection → execution. The
caller feeds it what happened (``submit``, ``finish``, ``cancel``), then asks
``decide`` what to do, and does exactly that.

1. Every submitted task ends exactly once, as DONE, FAILED or CANCELLED.
2. A task starts at most once for each time that it became ready, never before
   all tasks it waits for have ended as they must, never after its deadline.
3. All resources of a task are taken in one step; what is held never exceeds the
   capacity.
4. Tasks that need nothing compete for nothing, and neither do the others while
   there is enough for all that are ready: they start at once, in turns of the
   pipelines, a bounded number at a time so that the loop stays responsive.
5. If there is not enough, ``selection`` chooses.
6. If fewer than ``most`` tasks come back from ``decide``, no other can start now.
7. Who holds something waits for more only if that cannot close a circle; see ``waits``.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from tenire.core.accounts import WORTH_PLANNING_S, Accounts
from tenire.core.dependencies import inherit, link, resolve
from tenire.core.doom import Doom
from tenire.core.expiry import Expiry
from tenire.core.fair_share import FairShare
from tenire.core.history import History
from tenire.core.overload import OverloadControl
from tenire.core.selection import Selection
from tenire.core.tasks import DONE, FINAL, READY, RUNNING, WAITING, Needs, Resources, State, Task
from tenire.core.waits import Waits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tenire.core.admission import Admission
    from tenire.core.ready_queue import Lane

__all__ = ["Scheduler"]

_SAMPLE = 15
"""Of tasks that are not planned with one in sixteen is recorded."""

_by_class = attrgetter("priority", "seq")


class Scheduler:
    """The scheduler's state machine.

    Attributes:
        admission: The resources.
        shares: The pipelines.
        overload: Who steps aside when urgent work waits too long.
        selection: In which order tasks that compete start.
        history: How long tasks of a name usually take.
        waits: What running tasks wait for.
        running: Tasks that run now, abandoned ones included.
        abandoned: Tasks that ended but still hold what they took.
        waiting: Tasks that wait for other tasks, or for their next try.
        doomed: Tasks that ended without the caller's doing; the caller takes them out.
    """

    __slots__ = (
        "_accounts",
        "_expiry",
        "_seq",
        "abandoned",
        "admission",
        "doomed",
        "history",
        "overload",
        "running",
        "selection",
        "shares",
        "waiting",
        "waits",
    )

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.shares = FairShare()
        self.overload = OverloadControl()
        self.selection = Selection(admission, self.shares, self.overload)
        self.history = History()
        self.waits = Waits(admission)
        self._accounts = Accounts(admission, self.overload, self.history)
        self.running = 0
        self.abandoned = 0
        self.waiting = 0
        self.doomed: list[Doom] = []
        self._seq = 0
        self._expiry = Expiry(self.history)

    # -- what happened ---------------------------------------------------

    def submit(self, task: Task, now: float, after: Sequence[Task] = ()) -> None:
        """Take in a task. It may end at once, if one it waits for has failed or it cannot make its deadline."""
        self._seq = task.seq = self._seq + 1
        pipeline = task.pipeline
        pipeline.submitted += 1
        if after:
            broken = link(task, after)
            if broken is not None:
                self._doom(task, broken)
                return
            for other in after:
                if other.priority > task.priority:
                    inherit(other, task.priority)
        if task.deadline is not None:
            self._expiry.watch(task, task.deadline)
            if self._hopeless(task, now, contended=False):
                return
        if task.blockers:
            self.waiting += 1
            return
        # From here on as in ``_make_ready``, which would be one call more for every task.
        task.state = READY
        task.ready_at = now
        if not pipeline.queue.size:
            self.shares.filled(pipeline)
        pipeline.queue.push(task)

    def finish(self, task: Task, now: float, state: State) -> None:
        """Take in that a running task ended; frees what it held."""
        pipeline = task.pipeline
        if task.mask:
            self._accounts.give_back(task, now)
            task.mask = 0  # code that it left behind holds nothing of it
        pipeline.running -= 1
        self.running -= 1
        if state is DONE:
            took = now - task.started_at
            if (took >= WORTH_PLANNING_S or not task.seq & _SAMPLE) and not task.is_permit:
                self.history.record(task.name, took)
                pipeline.observe(took, task.started_at - task.ready_at, None if took >= WORTH_PLANNING_S else task.seq)
        if state is not DONE or task.deadline is not None:
            self._end(task, now, state)
            return
        task.state = state
        pipeline.ended += 1
        dependents = task.dependents
        if dependents is not None:
            task.dependents = None
            for dependent in dependents:
                if dependent.state is WAITING:
                    dependent.blockers -= 1
                    if not dependent.blockers:
                        self.waiting -= 1
                        self._make_ready(dependent, now)

    def abandon(self, task: Task, now: float, state: State) -> None:
        """Take in that a running task counts as ended but goes on: it keeps what it holds until ``reclaim``."""
        self.abandoned += 1
        self._end(task, now, state)

    def reclaim(self, task: Task, now: float) -> None:
        """Take in that an abandoned task has really ended; frees what it held."""
        self._vacate(task, now)
        task.mask = 0
        self.abandoned -= 1

    def postpone(self, task: Task, now: float) -> None:
        """Take back a running task that will be tried again; ``release`` makes it ready."""
        self._vacate(task, now)
        task.state = WAITING
        self.waiting += 1
        if task.deadline is not None and self._expiry.told(task):
            # It ran at its deadline and was told so; now it must not start after it.
            self._expiry.watch(task, task.deadline)

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

    def grant(self, permit: Task, now: float) -> int:
        """Let a permit start at once if what it needs is free; return the set of resources that it lacks."""
        admission = self.admission
        admission.refill(now)
        lacking = admission.lacking(permit.needs)
        if not lacking:
            self._seq = permit.seq = self._seq + 1
            permit.pipeline.submitted += 1
            permit.ready_at, permit.deadline = now, None  # that was for waiting
            self._run(permit, now)
        return lacking

    def _make_ready(self, task: Task, now: float) -> None:
        task.state = READY
        task.ready_at = now
        task.after = ()
        pipeline = task.pipeline
        if not pipeline.queue.size:
            self.shares.filled(pipeline)
        pipeline.queue.push(task)

    # -- what to do ------------------------------------------------------

    def decide(self, now: float, most: int) -> list[Task]:
        """Return the tasks to start now; they count as running.

        Tasks that missed their deadline, or cannot make it, are in ``doomed`` afterwards:
        those that had not started have ended, those that run are the caller's to end.

        Args:
            now: Seconds on a clock that never goes back.
            most: How many that need nothing may start, and how many others (or one of each pipeline).
        """
        self.selection.retry_at = None  # what waited for its rate may be gone
        if self._expiry.live:
            self._expire(now)
        backlogged = self.shares.backlogged
        if not backlogged:
            return []
        started = self._start_all(
            [p.queue.free for p in backlogged if p.queue.free.size and p.suspended is None], now, most
        )
        if backlogged:
            lanes, fitting = self.selection.uncontended(now, most)
            if lanes:
                started += self._start_all(lanes, now, fitting, contended=fitting < most)
                if len(lanes) > 1:
                    started.sort(key=_by_class)  # all of them start: then in the order in which they came
            else:
                most += len(started)  # those with needs have a bound of their own
                for task in self.selection.choices(now):
                    if self._start(task, now):
                        started.append(task)
                        if len(started) >= most:
                            break
        return started

    def next_wake(self) -> float | None:
        """Return when ``decide`` must be asked again though nothing happened."""
        due = self._expiry.next_at()
        retry_at = self.selection.retry_at
        return due if retry_at is None or (due is not None and due < retry_at) else retry_at

    # -- the decision ----------------------------------------------------

    def _start_all(self, lanes: Sequence[Lane], now: float, most: int, *, contended: bool = False) -> list[Task]:
        """Start tasks that need no choosing, in equal parts of the lanes, at least one of each."""
        started: list[Task] = []
        left = most
        while lanes:
            each = max(1, left // len(lanes))
            for lane in lanes:
                started += self._start_some(lane, each, now, contended=contended)
            left = most - len(started)
            lanes = [lane for lane in lanes if lane.size and lane.used][: max(0, left)]
        self.running += len(started)
        return started

    def _start_some(self, lane: Lane, most: int, now: float, *, contended: bool) -> list[Task]:
        """Start up to ``most`` of a lane's tasks; there is enough for all of them."""
        pipeline = lane.pipeline
        queue = pipeline.queue
        taken = queue.take(lane, most, now)
        if not queue.size:
            self.shares.drained(pipeline)
        if self._expiry.live:
            taken = [task for task in taken if not self._hopeless(task, now, contended=contended)]
        for task in taken:
            task.state = RUNNING
            task.started_at = now
        pipeline.running += len(taken)
        if lane.mask and taken:
            self._accounts.take_all(lane, taken, now)
        return taken

    def _start(self, task: Task, now: float) -> bool:
        pipeline = task.pipeline
        queue = pipeline.queue
        queue.pop(task)
        if not queue.size:
            self.shares.drained(pipeline)
        if task.deadline is not None and self._hopeless(task, now, contended=task.lane.size > 0):
            return False
        self._run(task, now)
        return True

    def _run(self, task: Task, now: float) -> None:
        self._accounts.take(task, now)
        task.state = RUNNING
        task.started_at = now
        task.pipeline.running += 1
        self.running += 1

    # -- endings ---------------------------------------------------------

    def _vacate(self, task: Task, now: float) -> None:
        if task.mask:
            self._accounts.give_back(task, now)
        task.pipeline.running -= 1
        self.running -= 1

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
        task.after = ()
        task.pipeline.count_end(state)
        if task.deadline is not None:
            self._expiry.forget(task)
        if task.dependents is not None:
            self._tell(task, now)

    def _tell(self, task: Task, now: float) -> None:
        """Tell the dependents of a task that has ended, and theirs, if they end with it."""
        # A work list instead of recursion: a chain may be a million tasks long.
        pending = [task]
        while pending:
            ended = pending.pop()
            freed, broken = resolve(ended)
            for dependent in freed:
                self.waiting -= 1
                self._make_ready(dependent, now)
            for dependent in broken:
                if dependent.state == WAITING:  # it may wait for the same failure twice
                    self.waiting -= 1
                    self._doom(dependent, ended)
                    if dependent.deadline is not None:
                        self._expiry.forget(dependent)
                    if dependent.dependents is not None:
                        pending.append(dependent)

    def _doom(self, task: Task, cause: Task) -> None:
        task.state = State.FAILED
        task.blockers = 0
        task.after = ()
        task.pipeline.count_end(State.FAILED)
        self.doomed.append(Doom.by(task, cause))

    def _expire(self, now: float) -> None:
        for task in self._expiry.passed(now):
            if task.state >= FINAL:
                continue  # it fell with another one of them
            if task.state == RUNNING:
                self.doomed.append(Doom(task, None, "it was still running at its deadline"))
            else:
                self._withdraw(task)
                self._end(task, now, State.FAILED)
                self.doomed.append(Doom(task, None, "it had not started by its deadline"))

    def _hopeless(self, task: Task, now: float, *, contended: bool) -> bool:
        """End a task, not in a queue, that cannot make its deadline."""
        if task.deadline is None:
            return False
        reason = self._expiry.hopeless(task, task.deadline, now, contended=contended)
        if reason is None:
            return False
        self._end(task, now, State.FAILED)
        self.doomed.append(Doom(task, None, reason))
        return True

    # -- looking ---------------------------------------------------------

    @property
    def queued(self) -> int:
        """Number of tasks that wait, for whatever reason."""
        return self.waiting + sum(pipeline.queue.size for pipeline in self.shares.backlogged)

    def needs(self, resources: Resources, *, task: str) -> Needs:
        """See ``Admission.needs``."""
        return self.admission.needs(resources, task=task)

    def check(self, running: Iterable[Task]) -> None:
        """Verify the rules, given the tasks that run, abandoned ones included."""
        running = list(running)
        assert len(running) == self.running
        assert all(task.state >= RUNNING for task in running)
        assert self.abandoned == sum(task.state != RUNNING for task in running)
        self.admission.check(running)
        self.shares.check()
        self.overload.check()
        self._expiry.check()
        for pipeline in self.shares.pipelines.values():
            pipeline.burst.check()
            assert pipeline.running == sum(task.pipeline is pipeline for task in running)
        assert self.waiting >= 0
