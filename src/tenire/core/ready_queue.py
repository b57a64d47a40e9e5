"""In which order the ready tasks of one pipeline start.

Tasks wait in *lanes*, one for each set of resources that they need (and for each
claim on them), so that a coroutine that needs nothing never stands behind a
hundred jobs that wait for a CPU slot. A lane has five classes.

1. Within a class, tasks with a deadline go first, the earliest deadline in front
   (C. L. Liu, J. W. Layland, JACM 1973); the others by first come, first served.
   Once the first of the others has risen a class (rule 2) it goes before them.
2. A waiting task rises one class for every ``AGEING_S`` seconds. Only the heads
   of queues are looked at: they have waited longest.
3. Among equals of age the one that became ready first goes first. But a task born
   critical or high goes before those of lower birth however far they have risen: after
   half a minute of overload they would all stand before what somebody waits for.
   After ``URGENT_RUN`` such starts in a row while others wait one goes by age, so
   nothing waits for ever behind a stream of urgent work.
4. Tasks that were cancelled, or moved elsewhere, stay in their queue until they
   reach its head: removing from the middle would cost time linear in the queue.

So a task of class ``p`` starts at the latest when all have started that were ready
before it, or in the ``p * AGEING_S`` seconds after it, and one in ``URGENT_RUN``
starts is theirs.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, cast

from tenire.core.overtaking import Overtaking
from tenire.core.tasks import READY, Claim, Priority

if TYPE_CHECKING:
    from tenire.core.fair_share import PipelineShare
    from tenire.core.tasks import Needs, Task

__all__ = ["AGEING_S", "ALL_CLASSES", "URGENT_RUN", "Lane", "ReadyQueue", "aged", "goes_before"]

AGEING_S = 30.0
URGENT_RUN = 8
_CLASSES = len(Priority)
ALL_CLASSES = (1 << _CLASSES) - 1
"""The set of all classes, one bit each."""
_CLAIM_SHIFT = 60
"""Lanes are found by the set of resources and, above it, the claim; those of the
highest claim by all that is needed."""
_AWAITED = int(Claim.AWAITED)
_MOST_LANES = 64
"""From here on lanes that are empty are given up."""


def aged(task: Task, now: float) -> int:
    """Return the class that a waiting task has risen to (rule 2)."""
    return max(0, task.priority - int((now - task.ready_at) / AGEING_S))


def goes_before(task: Task, other: Task, now: float, *, by_age: bool) -> bool:
    """Return whether a task goes before another one of its pipeline (rule 3).

    Args:
        task: The one.
        other: The other.
        now: Seconds on a clock that never goes back.
        by_age: Whether it is the turn of those that have waited longest.
    """
    birth, other_birth = task.priority, other.priority
    if birth != other_birth and not by_age and min(birth, other_birth) <= Priority.HIGH:
        return birth < other_birth
    return (aged(task, now), task.ready_at, task.seq) < (aged(other, now), other.ready_at, other.seq)


class Lane:
    """The ready tasks that need the same set of resources.

    Attributes:
        pipeline: Whose it is.
        mask: The set of resources, one bit each.
        claim: On what ground they ask; see ``Claim``.
        needs: What each of them needs, or ``None`` if they differ in the amounts.
        size: Live tasks in it.
        tag: Virtual time of the pipeline when its head was first held up, or ``None``.
        since: That of others when they were first asked to step back from it.
        queues: The tasks without a deadline of each class.
        used: Bit ``i`` is set if class ``i`` may hold something.
        gate: What held up its head in the last decision, for explanations.
        round: The last decision in which its head was held up.
        found: Its head, until a task comes or goes that may change that, or ``None``.
        overtaking: Who may go before a head that waits for a rate.
    """

    __slots__ = (
        "_dated",
        "_found_until",
        "_run",
        "claim",
        "found",
        "gate",
        "mask",
        "needs",
        "overtaking",
        "pipeline",
        "queues",
        "round",
        "since",
        "size",
        "tag",
        "used",
    )

    def __init__(self, pipeline: PipelineShare, mask: int = 0, claim: int = 0) -> None:
        self.pipeline = pipeline
        self.mask = mask
        self.claim = claim
        self.needs: Needs | None = None
        self.size = 0
        self.tag: float | None = None
        self.since: dict[PipelineShare, float] = {}
        self.used = 0
        self.gate: object = None
        self.round = -1
        self.queues: tuple[deque[Task], ...] = tuple(deque() for _ in range(_CLASSES))
        # Heaps of (deadline, seq, task), one for each class; most lanes never have one.
        self._dated: tuple[list[tuple[float, int, Task]], ...] | None = None
        self._run = 0
        # To compare five classes by age costs more than all the rest of a decision.
        self.found: Task | None = None
        self._found_until = float("-inf")
        self.overtaking = Overtaking()

    def add_dated(self, task: Task) -> None:
        """Put a task with a deadline into its place."""
        if self._dated is None:
            self._dated = tuple([] for _ in range(_CLASSES))
        heapq.heappush(self._dated[task.priority], (cast("float", task.deadline), task.seq, task))
        self.found = None

    def head(self, now: float, classes: int = ALL_CLASSES) -> Task | None:
        """Return the task that goes next, and leave it there.

        Args:
            now: Seconds on a clock that never goes back.
            classes: The classes that may start, one bit each.
        """
        if classes != ALL_CLASSES:
            return self._find_head(now, classes)[0]
        head = self.found
        if head is not None and now < self._found_until and head.state is READY and head.lane is self:
            return head
        self.found, self._found_until = self._find_head(now, classes)
        return self.found

    def _find_head(self, now: float, classes: int) -> tuple[Task | None, float]:
        """Return the head, and until when it stays that if nothing comes or goes."""
        best: Task | None = None
        until = float("inf")
        for index in range(_CLASSES):
            if not (self.used & classes) >> index & 1:
                continue
            task = self._class_head(index, now)
            if task is None:
                continue
            level = aged(task, now)
            # The next time that anything rises: a class, or before those with a deadline.
            until = min(until, task.ready_at + AGEING_S * (index - level + 1))
            if best is None or goes_before(task, best, now, by_age=self._run >= URGENT_RUN):
                best = task
        return best, until

    def _class_head(self, index: int, now: float) -> Task | None:
        queue = self.queues[index]
        task: Task | None = None
        while queue:
            task = queue[0]
            if task.state is READY and task.priority == index and task.lane is self:
                break
            queue.popleft()
            task = None
        dated = self._dated
        if dated is not None and dated[index]:
            first = self._first_dated(dated[index], index)
            if first is not None and (task is None or now - task.ready_at < AGEING_S):
                return first
        if task is None:
            self.used &= ~(1 << index)
        return task

    def _first_dated(self, heap: list[tuple[float, int, Task]], index: int) -> Task | None:
        while heap:
            task = heap[0][2]
            if task.state is READY and task.priority == index and task.lane is self:
                return task
            heapq.heappop(heap)
        return None

    def urgent(self) -> bool:
        """Return whether work that was born critical waits here; exact after ``head``."""
        return bool(self.used & 1)

    def pop(self, task: Task) -> None:
        """Take out the task that ``head`` returned, or one that may go before it."""
        index = task.priority
        queue = self.queues[index]
        dated = self._dated
        if task.deadline is None:
            if task is not queue[0]:
                self.overtaking.goes(task, queue)
                self.size -= 1
                return
            queue.popleft()
        else:
            assert dated is not None
            heapq.heappop(dated[index])
        if not queue and (dated is None or not dated[index]):
            self.used &= ~(1 << index)
        self.size -= 1
        self.tag = None
        self._run = 0 if index > Priority.HIGH or not self.used >> index + 1 else self._run + 1
        self.found = None

    def take(self, most: int, now: float) -> list[Task]:
        """Take out up to ``most`` tasks in order, one after the other."""
        taken: list[Task] = []
        while self.size and len(taken) < most and (used := self.used):
            if self._dated is not None or (used & (used - 1) and not self._calm(now)):
                task = self.head(now)
                if task is None:
                    break
                self.pop(task)
                taken.append(task)
                continue
            index = (used & -used).bit_length() - 1
            queue = self.queues[index]
            before = len(taken)
            while queue and len(taken) < most:
                task = queue.popleft()
                if task.state is READY and task.priority == index and task.lane is self:
                    taken.append(task)
            self.size -= len(taken) - before
            if not queue:
                self.used &= ~(1 << index)
        self.tag = None
        self.found = None
        return taken

    def _calm(self, now: float) -> bool:
        """Return whether nothing has risen a class, so that one class goes after the other."""
        return all(not queue or now - queue[0].ready_at < AGEING_S for queue in self.queues)

    def position(self, task: Task) -> int:
        """Return how many live tasks of its class or a higher one are in front; linear."""
        order = (task.deadline or float("inf"), task.seq)
        return sum(
            other.priority < task.priority
            or (other.priority == task.priority and (other.deadline or float("inf"), other.seq) < order)
            for other in self.live()
        )

    def live(self) -> list[Task]:
        """Return every live task; linear."""
        tasks: dict[Task, None] = {}
        for index, queue in enumerate(self.queues):
            for task in (*queue, *(item[2] for item in (self._dated[index] if self._dated else ()))):
                if task.state is READY and task.priority == index and task.lane is self:
                    tasks[task] = None
        return list(tasks)


class ReadyQueue:
    """All ready tasks of one pipeline.

    Attributes:
        free: The lane of those that need nothing and that no holder waits for.
        lanes: All other lanes, by what they need and on what ground.
        contenders: Those of them that compete with other pipelines' in the order of
            shares: starts, and permits of those who hold nothing.
        claims: Those of them that go before all starts.
        size: Live tasks in all lanes.
        critical: Live tasks of class critical.
        run: Starts of critical and high work in a row while other work waited.
    """

    __slots__ = ("_pipeline", "claims", "contenders", "critical", "free", "lanes", "run", "size")

    def __init__(self, pipeline: PipelineShare) -> None:
        self._pipeline = pipeline
        self.free = Lane(pipeline)
        self.lanes: dict[int | Needs, Lane] = {}
        self.contenders: list[Lane] = []
        self.claims: list[Lane] = []
        self.size = 0
        self.critical = 0
        self.run = 0

    def push(self, task: Task) -> None:
        """Add a ready task at the end of its class."""
        # All in one: this is done once for every task there is.
        mask = task.mask
        priority = task.priority
        self.size += 1
        if not priority:
            self.critical += 1
        if mask or task.claim:
            # Of what holders wait for, nothing may stand behind another that needs more.
            key = mask | task.claim << _CLAIM_SHIFT if task.claim < _AWAITED else task.needs
            lane = self.lanes.get(key)
            if lane is None:
                lane = self._new_lane(key, mask, task.claim)
            if task.needs is not lane.needs and task.needs != lane.needs:
                lane.needs = None if lane.size else task.needs
        else:
            lane = self.free
        task.lane = lane
        lane.used |= 1 << priority
        lane.size += 1
        if task.deadline is None:
            lane.queues[priority].append(task)
            if lane.size == 1 or lane.used >> priority + 1:  # its head may be of a lower class
                lane.found = None
        else:
            lane.add_dated(task)

    def _new_lane(self, key: int | Needs, mask: int, claim: int) -> Lane:
        if len(self.lanes) > _MOST_LANES:  # as many as there are sizes
            self.lanes = {key: lane for key, lane in self.lanes.items() if lane.size or lane.claim < _AWAITED}
            self.claims = [lane for lane in self.claims if lane.size or lane.claim < _AWAITED]
        lane = self.lanes[key] = Lane(self._pipeline, mask, claim)
        if claim:
            self.claims.append(lane)
        if claim <= 1:  # a permit of one who holds nothing contends when its precedence is used up
            self.contenders.append(lane)
        return lane

    def pop(self, task: Task) -> None:
        """Take out the head of a lane."""
        task.lane.pop(task)
        self.size -= 1
        self.run = self.run + 1 if task.priority <= 1 and self.size else 0
        if not task.priority:
            self.critical -= 1

    def take(self, lane: Lane, most: int, now: float) -> list[Task]:
        """Take up to ``most`` tasks out of a lane, in order."""
        taken = lane.take(most, now)
        self.size -= len(taken)
        if self.critical:
            self.critical -= sum(not task.priority for task in taken)
        return taken

    def forget(self, task: Task) -> None:
        """Count out a task that was cancelled; it leaves its queue later (rule 4)."""
        task.lane.size -= 1
        self.size -= 1
        if not task.priority:
            self.critical -= 1

    def promote(self, task: Task, *, priority: int | None = None, claim: int | None = None) -> None:
        """Move a ready task to a more urgent class, or to a higher claim, for good."""
        if claim is not None and claim <= task.claim:
            return  # it would stand in its lane twice
        self.forget(task)
        if priority is not None:
            task.priority = priority
        if claim is not None:
            task.claim = claim
        self.push(task)
        task.lane.found = None

    def renew(self, task: Task, needs: Needs) -> None:
        """Have a ready task need other amounts of the same resources, where it stands."""
        task.needs, task.lane.needs = needs, None

    def not_ahead_of(self, v: float) -> None:
        """Have no head that is held up count from later than ``v``, which has been set back."""
        for lane in self.lanes.values():
            if lane.tag is not None:
                lane.tag = min(lane.tag, v)

    @property
    def claimed(self) -> int:
        """Live tasks in the lanes that go before all starts."""
        return sum([lane.size for lane in self.claims])

    def all(self) -> list[Task]:
        """Return every live task; linear."""
        return [task for lane in (self.free, *self.lanes.values()) for task in lane.live()]

    def check(self) -> None:
        """Verify the counters against the queues."""
        total = 0
        critical = 0
        for lane in (self.free, *self.lanes.values()):
            live = lane.live()
            assert lane.size == len(live), (lane.size, len(live))
            assert all(task.mask == lane.mask for task in live)
            assert all(task.claim == lane.claim for task in live)
            total += len(live)
            critical += sum(task.priority == Priority.CRITICAL for task in live)
        assert self.size == total, (self.size, total)
        assert self.critical == critical
