"""What is kept for heads that do not fit, within one decision.

A task that needs much would wait for ever behind a stream of small ones that always
fit. So the others may run ahead of it, but only so far: the *lead* of a task over a
head that was held up is its pipeline's virtual time less the head's tag, the virtual
time of its own pipeline when it was first held up.

1. Up to a lead of ``SLACK`` times the head's charge nothing is kept: this is what keeps
   the machine full. A pipeline without burst credit has none of this slack.
2. Beyond that, what the head lacks is kept for it, and everything if it lacks nothing
   but stands behind what is kept for another.
3. Beyond ``FULL_SLACK`` times its charge all that the first such head needs is kept,
   even if a slot stays idle while memory comes free: if only what it lacks were kept,
   two streams could take turns in keeping it out for ever.
4. For critical work everything is kept at once.
5. If a head lacks only what comes back with time, only that is kept for it. Nothing is
   kept for a task that the whole capacity, lowered meanwhile, could not serve.
6. For what a holder waits for everything is kept at once, but not from others that
   holders wait for: those are held up by nothing that is kept. So no circle of
   waiting can close; see ``waits``.

The lead is virtual time, so a head is passed over by at most ``FULL_SLACK`` times its
own cost of others' work for each pipeline, whatever the sizes. A count of those that
passed would mean little: a hundred small tasks are less than one large one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tenire.core.tasks import Claim

if TYPE_CHECKING:
    from tenire.core.admission import Admission
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
        kept = self._always
        if kept and (keeper := self._conflict(task, kept)) is not None:
            return keeper
        if self._fresh:
            self._passed += [_Passed(*held) for held in self._fresh]
            self._fresh = []
        pipeline = task.pipeline
        slack = 0.0 if pipeline.burst.cooling else SLACK
        full = False
        for passed in self._passed:
            if passed.lane.mask & task.mask and passed.lane is not task.lane:
                charge = passed.work_out(self._admission) if passed.charge is None else passed.charge
                lead = pipeline.v - cast("float", passed.lane.tag)
                if lead > slack * charge:
                    needs = passed.lacks
                    if not full and lead > FULL_SLACK * charge:
                        full = True
                        needs = passed.needs
                    kept = [*kept, (passed.lane, needs)]
        return self._conflict(task, kept) if kept is not self._always else None

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

    def _conflict(self, task: Task, kept: list[tuple[Lane, Needs]]) -> Lane | None:
        left: dict[int, int] = {}
        free = self._admission.free
        for index, amount in task.needs:
            left[index] = free[index] - amount
        for lane, needs in kept:
            for index, amount in needs:
                if index in left:
                    left[index] -= amount
                    if left[index] < 0:
                        return lane
        return None

    def hold(self, task: Task, lane: Lane, lacking: int) -> None:
        """Note that a head does not fit, or stands behind what is kept; ``lacking`` is what it lacks."""
        self.passed = True
        if lane.tag is None:
            lane.tag = task.pipeline.v
        if self.claim < Claim.AWAITED and not lane.urgent():
            self._fresh.append((task, lane, lacking))
        elif self._admission.possible(task.needs):
            needs = _keepable(self._admission, task.needs, lacking)
            self._always.append((lane, needs))
            kept = self._kept
            for index, amount in needs:
                kept[index] = kept.get(index, 0) + amount
