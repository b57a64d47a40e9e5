"""What is kept for heads that do not fit, within one decision.

A task that needs much would wait for ever behind a stream of small ones that always
fit. So the others may run ahead of it, but only so far: the *lead* of a task over a
head that was held up is its pipeline's virtual time less the head's tag, the virtual
time of its own pipeline when it was first held up.

1. Up to a lead of ``SLACK`` times the head's charge nothing is kept: this is what keeps
   the machine full. A pipeline without burst credit has none of this slack.
2. Beyond that, what the head lacks is kept for it, and everything if it lacks nothing
   but stands behind what is kept for another. If it lacks several things they are at
   first kept in step: of each no larger part than is there of the others. So memory does
   not stand idle for a head that waits for a slot, because others fill memory to the brim.
   That ends when a pipeline has come ``SLACK`` times the head's charge further since it
   was first asked to step back from it: else those would run ahead who need little.
3. When it has come ``FULL_SLACK - SLACK`` times the charge further, all that the first
   such head needs is kept from it, even if a slot stays idle while memory comes free: if
   only what it lacks were kept, two streams could take turns in keeping it out for ever.
   The lead does not decide this: who needs nothing of what is scarce rightly gets more
   than the others, and is further ahead of them every minute.
4. For critical work everything is kept at once.
5. If a head lacks only what comes back with time, only that is kept for it. Nothing is
   kept for a task that the whole capacity, lowered meanwhile, could not serve.
6. For what a holder waits for everything is kept at once, but not from others that
   holders wait for: those are held up by nothing that is kept. So no circle of
   waiting can close; see ``waits``.

What is kept for several heads is not added up, except by the rules 4 and 6: the largest
amount counts. They are served one after the other, and each of them is kept for all the
same.

Lead and progress are virtual time, so a head is passed over by at most ``FULL_SLACK``
times its own cost of others' work for each pipeline, whatever the sizes. A count of those
that passed would mean little: a hundred small tasks are less than one large one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tenire.core.tasks import Claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.core.admission import Admission
    from tenire.core.fair_share import PipelineShare
    from tenire.core.ready_queue import Lane
    from tenire.core.tasks import Needs, Task

__all__ = ["FULL_SLACK", "SLACK", "Reservations"]

SLACK = 8.0
FULL_SLACK = 4 * SLACK


class _Passed:
    """A head that did not fit; what that means for others is worked out when one asks."""

    __slots__ = ("charge", "lacking", "lacks", "lane", "needs", "task")

    def __init__(self, task: Task, lane: Lane, lacking: int) -> None:
        self.task = task
        self.lane = lane
        self.lacking = lacking
        self.charge: float | None = None
        self.lacks: Needs = ()
        self.needs: Needs = ()

    def work_out(self, admission: Admission) -> float:
        """Return its charge, and note what it lacks and needs."""
        task, lacking = self.task, self.lacking
        pipeline = task.pipeline
        needs = task.needs
        cost = max(admission.share(needs) * pipeline.duration, admission.toll(needs))
        self.charge = charge = cost / pipeline.pull
        if admission.possible(needs):
            self.needs = _keepable(admission, needs, lacking)
            self.lacks = tuple(need for need in self.needs if lacking >> need[0] & 1) if lacking else self.needs
        return charge


def _keepable(admission: Admission, needs: Needs, lacking: int) -> Needs:
    rates = admission.rate_mask
    if lacking and not lacking & ~rates:
        return tuple(need for need in needs if rates >> need[0] & 1)
    return needs


def _in_step(lacks: Needs, free: Sequence[int]) -> Needs:
    """Return of each thing that a head lacks no larger part than is free of the others."""
    parts = [min(1.0, max(0, free[index]) / amount) for index, amount in lacks]  # a limit may be all that it lacks
    least, next_least = sorted(parts)[:2]
    scarcest = parts.index(least)
    return tuple(
        (index, int(amount * (next_least if place == scarcest else least)))
        for place, (index, amount) in enumerate(lacks)
    )


def _progress(lane: Lane, pipeline: PipelineShare) -> float:
    """Return how far a pipeline has come since it was first asked to step back from a lane's head."""
    v = pipeline.v
    since = lane.since.get(pipeline)
    if since is None or since > v:  # a correction or another weight may have set it back
        lane.since[pipeline] = since = v
    return v - since


class Reservations:
    """What must not be touched, and for whom.

    Attributes:
        passed: Whether anything was held up in this decision.
        claim: On what ground the tasks ask that are looked at now.
    """

    __slots__ = ("_admission", "_always", "_fresh", "_kept", "_passed", "claim", "passed")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        # What was held up since somebody last asked, and what that means for others.
        self._fresh: list[tuple[Task, Lane, int]] = []
        self._passed: list[_Passed] = []
        self._always: list[tuple[Lane, Needs]] = []  # what is kept whatever the lead
        self._kept: dict[int, int] = {}  # how much that is, by index
        self.passed = False
        self.claim: int = Claim.START

    def clear(self) -> None:
        """Begin a decision: nothing is kept."""
        if self.passed:
            self.passed = False
            self._fresh = []
            self._passed = []
            self._always = []
            self._kept = {}

    def in_the_way(self, task: Task) -> Lane | None:
        """Return the lane for whose head is kept what a task, whose needs are free, would take, or ``None``."""
        if self.claim == Claim.AWAITED:
            return None
        left: dict[int, int] = {}
        if self._always:
            left = self._left(task)
            for lane, needs in self._always:
                for index, amount in needs:
                    if index in left:
                        left[index] -= amount
                        if left[index] < 0:
                            return lane
        if self._fresh:
            self._passed += [_Passed(*held) for held in self._fresh]
            self._fresh = []
        pipeline = task.pipeline
        slack = 0.0 if pipeline.burst.cooling else SLACK
        full = False
        for passed in self._passed:
            lane = passed.lane
            if lane.mask & task.mask and lane is not task.lane:
                charge = passed.work_out(self._admission) if passed.charge is None else passed.charge
                if pipeline.v - cast("float", lane.tag) > slack * charge:
                    left = left or self._left(task)
                    progress = _progress(lane, pipeline)
                    needs = passed.lacks
                    if not full and progress > (FULL_SLACK - SLACK) * charge:
                        full = True
                        needs = passed.needs
                    elif passed.lacking and len(needs) > 1 and progress <= SLACK * charge:
                        needs = _in_step(needs, self._admission.free)
                    for index, amount in needs:
                        if left.get(index, amount) < amount:
                            return lane
        return None

    def _left(self, task: Task) -> dict[int, int]:
        """Return what would be left of what a task needs, by index."""
        free = self._admission.free
        return {index: free[index] - amount for index, amount in task.needs}

    def used_up(self) -> int:
        """Return the set of resources of which all that is free is kept whatever the lead, one bit each."""
        free = self._admission.free
        used_up = 0
        for index, amount in self._kept.items():
            if free[index] <= amount:
                used_up |= 1 << index
        return used_up

    def keeper(self, mask: int) -> Lane | None:
        """Return the first lane for which something of a set of resources is kept whatever the lead."""
        return next((lane for lane, needs in self._always if any(mask >> index & 1 for index, _ in needs)), None)

    def hold(self, task: Task, lane: Lane, lacking: int) -> None:
        """Note that a head does not fit, or stands behind what is kept; ``lacking`` is what it lacks."""
        self.passed = True
        if lane.tag is None:
            lane.tag = task.pipeline.v
            if lane.since:
                lane.since = {}
        if self.claim < Claim.AWAITED and not lane.urgent():
            self._fresh.append((task, lane, lacking))
        elif self._admission.possible(task.needs):
            needs = _keepable(self._admission, task.needs, lacking)
            self._always.append((lane, needs))
            kept = self._kept
            for index, amount in needs:
                kept[index] = kept.get(index, 0) + amount
