"""In which order the ready tasks of one pipeline start.

Tasks wait in *lanes*, one for each set of resources that they need, so that a
coroutine that needs nothing never stands behind a hundred jobs that wait for a
CPU slot. A lane has one first-in-first-out queue for each priority class.

1. Within a class, first come, first served.
2. A waiting task rises one class for every ``AGEING_S`` seconds. Only the heads
   of queues are looked at: they have waited longest.
3. At equal class the one that became ready first goes first, except that a task
   born critical goes before tasks that only aged into that class. After
   ``CRITICAL_RUN`` such exceptions in a row the aged one goes, so nothing waits
   for ever behind a stream of critical work.
4. Cancelled tasks stay in their queue until they reach its head: removing from
   the middle would cost time linear in the queue.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from tenire.core.tasks import READY, Priority

if TYPE_CHECKING:
    from tenire.core.tasks import Task

__all__ = ["AGEING_S", "CRITICAL_RUN", "Lane", "ReadyQueue", "aged"]

AGEING_S = 30.0
CRITICAL_RUN = 8
_CLASSES = len(Priority)


def aged(task: Task, now: float) -> int:
    """Return the class that a waiting task has risen to (rule 2)."""
    return max(0, task.priority - int((now - task.ready_at) / AGEING_S))


class Lane:
    """The ready tasks that need the same set of resources.

    Attributes:
        mask: The set of resources, one bit each.
        size: Live tasks in it.
        bypassed: How often another task started ahead of its head while the head
            lacked something.
        queues: One queue for each priority class.
        used: Bit ``i`` is set if ``queues[i]`` may hold something.
    """

    __slots__ = ("_critical_run", "bypassed", "mask", "queues", "size", "used")

    def __init__(self, mask: int) -> None:
        self.mask = mask
        self.size = 0
        self.bypassed = 0
        self.queues: tuple[deque[Task], ...] = tuple(deque() for _ in range(_CLASSES))
        self.used = 0
        self._critical_run = 0

    def head(self, now: float) -> Task | None:
        """Return the task that goes next, and leave it there."""
        used = self.used
        if used & (used - 1) == 0:  # at most one class: the usual case
            return self._live_head(used.bit_length() - 1) if used else None
        best: Task | None = None
        best_class = _CLASSES
        for index in range(_CLASSES):
            if not used >> index & 1:
                continue
            task = self._live_head(index)
            if task is None:
                continue
            level = aged(task, now)
            if best is None or level < best_class or (level == best_class and self._goes_before(task, best)):
                best, best_class = task, level
        return best

    def urgent(self) -> bool:
        """Return whether work that was born critical waits here; exact after ``head``."""
        return bool(self.used & 1)

    def _goes_before(self, task: Task, other: Task) -> bool:
        if other.priority == Priority.CRITICAL and self._critical_run < CRITICAL_RUN:
            return False
        return (task.ready_at, task.seq) < (other.ready_at, other.seq)

    def _live_head(self, index: int) -> Task | None:
        queue = self.queues[index]
        while queue:
            task = queue[0]
            if task.state == READY:
                return task
            queue.popleft()
        self.used &= ~(1 << index)
        return None

    def pop(self, task: Task) -> None:
        """Take out the task that ``head`` returned."""
        queue = self.queues[task.priority]
        queue.popleft()
        if not queue:
            self.used &= ~(1 << task.priority)
        self.size -= 1
        self.bypassed = 0
        self._critical_run = self._critical_run + 1 if not task.priority and self.used & ~1 else 0

    def take(self, most: int, now: float) -> list[Task]:
        """Take out up to ``most`` tasks in order; for a lane whose tasks need nothing."""
        taken: list[Task] = []
        while self.size and len(taken) < most:
            used = self.used
            if used & (used - 1):
                task = self.head(now)
                if task is None:
                    break
                self.pop(task)
                taken.append(task)
                continue
            queue = self.queues[used.bit_length() - 1]
            before = len(taken)
            while queue and len(taken) < most:
                task = queue.popleft()
                if task.state == READY:
                    taken.append(task)
            self.size -= len(taken) - before
            if not queue:
                self.used = 0
        return taken

    def holds(self, task: Task) -> bool:
        """Return whether a task is in this lane; linear, for checks only."""
        return task in self.queues[task.priority]

    def position(self, task: Task) -> int:
        """Return how many live tasks of its class or a higher one are in front; linear."""
        ahead = sum(1 for index in range(task.priority) for other in self.queues[index] if other.state == READY)
        for other in self.queues[task.priority]:
            if other is task:
                break
            ahead += other.state == READY
        return ahead

    def live(self) -> list[Task]:
        """Return every live task; linear, for checks only."""
        return [task for queue in self.queues for task in queue if task.state == READY]


class ReadyQueue:
    """All ready tasks of one pipeline.

    Attributes:
        lanes: One lane for each set of resources in use.
        size: Live tasks in all lanes.
        critical: Live tasks that were born critical.
    """

    __slots__ = ("critical", "lanes", "size")

    def __init__(self) -> None:
        self.lanes: dict[int, Lane] = {}
        self.size = 0
        self.critical = 0

    def push(self, task: Task) -> None:
        """Add a ready task."""
        lane = self.lanes.get(task.mask)
        if lane is None:
            lane = self.lanes[task.mask] = Lane(task.mask)
        # Not a method of the lane: this is done once for every task there is.
        priority = task.priority
        lane.queues[priority].append(task)
        lane.used |= 1 << priority
        lane.size += 1
        self.size += 1
        if not priority:
            self.critical += 1

    def pop(self, lane: Lane, task: Task) -> None:
        """Take out the head of a lane."""
        lane.pop(task)
        self.size -= 1
        if not task.priority:
            self.critical -= 1

    @property
    def free(self) -> int:
        """Live tasks that need nothing."""
        lane = self.lanes.get(0)
        return 0 if lane is None else lane.size

    def take_free(self, most: int, now: float) -> list[Task]:
        """Take out up to ``most`` of the tasks that need nothing, in order."""
        lane = self.lanes.get(0)
        if lane is None or not lane.size:
            return []
        taken = lane.take(most, now)
        self.size -= len(taken)
        if self.critical:
            self.critical -= sum(not task.priority for task in taken)
        return taken

    def forget(self, task: Task) -> None:
        """Count out a task that was cancelled; it leaves its queue later (rule 4)."""
        self.lanes[task.mask].size -= 1
        self.size -= 1
        if not task.priority:
            self.critical -= 1

    def check(self) -> None:
        """Verify the counters against the queues."""
        total = 0
        critical = 0
        for mask, lane in self.lanes.items():
            live = lane.live()
            assert lane.mask == mask
            assert lane.size == len(live), (lane.size, len(live))
            assert all(task.mask == mask for task in live)
            total += len(live)
            critical += sum(task.priority == Priority.CRITICAL for task in live)
        assert self.size == total, (self.size, total)
        assert self.critical == critical
