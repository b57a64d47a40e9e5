"""Who may start before the head of a lane that waits for what comes back with time.

A call of many tokens that waits for its quota leaves some of it unused meanwhile, and
what is not used in time is lost. A smaller one may go first, so far as that is fair.

1. Only while the head lacks nothing but rates, and only its own class: nothing less
   urgent goes before it, and nothing at all before what is critical (for that, all is
   kept; see ``reservations``) or has a deadline.
2. Of the first ``LOOK_AHEAD`` the one that uses most of a rate goes.
3. Nobody is overtaken more than ``MOST`` times. Whoever goes overtakes all in front of it,
   so the head has been overtaken most often, and only its count needs to be looked at.
4. Nobody goes if the head fits soon, within ``NEAR`` of the time in which what it needs
   comes back at the mean rate. So it goes when it can do so cheaply, and not only after
   ``MOST`` others, when room for it may have to be saved up from nothing: this is worth
   2 % of a quota whose calls need up to a quarter of it.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from tenire.core.tasks import READY

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator

    from tenire.core.admission import Admission
    from tenire.core.tasks import Task

__all__ = ["LOOK_AHEAD", "MOST", "NEAR", "Overtaking"]

LOOK_AHEAD = 16
MOST = 8
NEAR = 0.3
_MOST_COUNTS = 4 * LOOK_AHEAD
"""From here on counts of tasks that have left the lane without starting are given up."""


class Overtaking:
    """How often the first tasks of a lane were overtaken."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[Task, int] = {}

    def look(self, head: Task, head_at: float, admission: Admission, now: float) -> tuple[Task | None, float | None]:
        """Return the task that may go before the head of its lane, or else when to look again.

        Args:
            head: The head, which lacks a rate.
            head_at: When that will be back.
            admission: The resources.
            now: Seconds on a clock that never goes back.
        """
        counts, free = self._counts, admission.free
        if (
            head.deadline is not None
            or counts.get(head, 0) >= MOST
            or head_at - now <= NEAR * admission.toll(head.needs)
        ):
            return None, None
        best: Task | None = None
        least: Task | None = None
        most, fewest = 0.0, float("inf")
        for task in islice(_live(head.lane.queues[head.priority], head), 1, LOOK_AHEAD):
            toll = admission.toll(task.needs)
            if toll > most and all(free[index] >= amount for index, amount in task.needs):
                best, most = task, toll
            if toll < fewest:
                least, fewest = task, toll
        if best is None and least is not None:
            return None, admission.wait_for(least.needs, now, first=False)
        return best, None

    def goes(self, task: Task, queue: deque[Task]) -> None:
        """Take a task out of its queue, past those in front of it."""
        counts = self._counts
        for other in _live(queue, task):
            if other is task:
                break
            counts[other] = counts.get(other, 0) + 1
        queue.remove(task)
        counts.pop(task, None)
        if len(counts) > _MOST_COUNTS:
            self._counts = {one: times for one, times in counts.items() if one.state is READY and one.lane is task.lane}


def _live(queue: deque[Task], like: Task) -> Iterator[Task]:
    for task in queue:
        if task.state is READY and task.priority == like.priority and task.lane is like.lane:
            yield task
