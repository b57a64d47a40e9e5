"""What a start takes and costs, and what an end gives back.

1. What was taken is given back exactly; what comes back with time is not.
2. A start charges its pipeline what it is expected to cost, and its end corrects that
   by what it cost: the share that it held times the time, or what it used up of a rate.
   It counts by the weight of that moment, which may be another one at the end.
3. How long it waited says how loaded the machine is, unless it waited for a rate, or
   for its pipeline, of which nothing was to start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.admission import SLOTS
from tenire.core.fair_share import DURATION_SMOOTHING

if TYPE_CHECKING:
    from tenire.core.admission import Admission
    from tenire.core.history import History
    from tenire.core.overload import OverloadControl
    from tenire.core.ready_queue import Lane
    from tenire.core.tasks import Task

__all__ = ["WORTH_PLANNING_S", "Accounts"]

WORTH_PLANNING_S = 0.01
"""Tasks of a pipeline whose tasks are shorter than that are not planned with one by one."""


class Accounts:
    """Takes and gives back resources, and charges for them."""

    # Flat functions, and what they need of others written out: they run once for every
    # task that competes, and each call that they do not make is a fiftieth of its cost.

    __slots__ = ("_admission", "_history", "_overload")

    def __init__(self, admission: Admission, overload: OverloadControl, history: History) -> None:
        self._admission = admission
        self._overload = overload
        self._history = history

    def take(self, task: Task, now: float) -> None:
        """Take what a task needs, which has just been found free, and charge for it."""
        pipeline = task.pipeline
        admission = self._admission
        mask = task.mask
        if mask & admission.rate_mask:
            share, toll = admission.take(task.needs, now)
            self._overload.took(task.priority, share if mask & SLOTS else 0.0)
        else:
            share = toll = 0.0
            free, capacity = admission.free, admission.capacity
            for index, amount in task.needs:
                free[index] -= amount
                part = amount / capacity[index]
                if part > share:
                    share = part
            since, resumed_at = task.ready_at, pipeline.resumed_at
            waited = now - (since if since > resumed_at else resumed_at)
            self._overload.started(task.priority, waited, share if mask & SLOTS else 0.0)
        task.share = share
        expected = pipeline.duration
        if expected > WORTH_PLANNING_S:
            expected = self._history.usual(task.name) or expected
        cost = share * expected
        task.charge = charge = cost if cost > toll else toll
        pipeline.v += charge / pipeline.pull

    def take_all(self, lane: Lane, taken: list[Task], now: float) -> None:
        """Do for several tasks with the same needs what ``take`` does for one."""
        number = len(taken)
        needs = taken[0].needs
        admission = self._admission
        share = admission.share(needs)
        for index, amount in needs:
            admission.free[index] -= amount * number
        pipeline = lane.pipeline
        charge = share * pipeline.duration
        pipeline.v += charge * number / pipeline.pull
        for task in taken:
            task.share = share
            task.charge = charge
        running = share if lane.mask & SLOTS else 0.0
        self._overload.all_started(taken, now, running, since=pipeline.resumed_at)

    def give_back(self, task: Task, now: float) -> None:
        """Give back what a task held, and correct its charge."""
        share = task.share  # as it was at the start: the capacity may have changed since
        admission = self._admission
        toll = 0.0
        if task.mask & admission.rate_mask:
            admission.give(task.needs)
            toll = admission.toll(task.needs)
        else:
            free = admission.free
            for index, amount in task.needs:
                free[index] += amount
        pipeline = task.pipeline
        if task.priority > 1 and task.mask & SLOTS:
            self._overload.batch_held -= share
        took = now - task.started_at
        cost = share * took
        pipeline.v += ((cost if cost > toll else toll) - task.charge) / pipeline.pull
        pipeline.duration += (took - pipeline.duration) * DURATION_SMOOTHING
