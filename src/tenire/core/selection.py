"""Which of the ready tasks that need something starts next.

One decision looks at the pipelines in this order, takes the first head of a lane
that fits, and goes on until none does:

1. What running work needs in order to finish: what a holder waits for, then permits
   of running tasks that hold nothing. After ``URGENT_RUN`` of the latter in a row
   while starts wait they have no precedence until something else has started.
2. Work of class critical, in all pipelines. After ``URGENT_RUN`` of those in a row
   while other work waits, the same.
3. The pipeline with the smallest virtual time; those without burst credit last.
4. Under overload the classes that have to step aside, when nothing else fits.

Within a pipeline the heads of its lanes go in the order of ``ready_queue``. A head that
does not fit lets others by, but not for ever; see ``reservations``.

Within a decision resources only become fewer: a head that did not fit is not looked
at again.
"""

from __future__ import annotations

import heapq
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING

from tenire.core.admission import SLOTS
from tenire.core.degradation import Causes
from tenire.core.ready_queue import ALL_CLASSES, URGENT_RUN, aged, goes_before
from tenire.core.reservations import Reservations
from tenire.core.tasks import Claim, Priority

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tenire.core.admission import Admission
    from tenire.core.fair_share import FairShare, PipelineShare
    from tenire.core.overload import OverloadControl
    from tenire.core.ready_queue import Lane
    from tenire.core.tasks import Task

__all__ = ["Selection"]

_URGENT, _DUE, _COOLING, _ASIDE = range(4)
_BURSTS_S = 0.05
"""How often burst credit is brought up to date; it is a matter of seconds, and so is its end under load."""

_by_virtual_time = attrgetter("v")

Ranked = tuple[int, float, int, "PipelineShare"]


class Selection:
    """Chooses the next tasks among the pipelines with work waiting.

    Attributes:
        burst_allowed: Whether burst credit may be used.
        limits: How much of a resource tasks may hold for now, by index, where that is
            less than there is. Whoever finds nothing of it held may start all the same,
            so that the largest task runs too; permits of running tasks do not heed it.
        causes: Why these hold, for those who ask.
        round: Number of the last decision.
        used_up: The resources of which it left nothing, or only what is kept for urgent
            work, one bit each.
        retry_at: When to ask again though nothing ended, for what comes back with
            time; ``None`` for never. Set by a decision.
    """

    __slots__ = (
        "_admission",
        "_bursts_at",
        "_classes",
        "_critical_run",
        "_kept_up",
        "_overload",
        "_permit_run",
        "_reservations",
        "_shares",
        "burst_allowed",
        "causes",
        "limits",
        "retry_at",
        "round",
        "used_up",
    )

    def __init__(self, admission: Admission, shares: FairShare, overload: OverloadControl) -> None:
        self._admission = admission
        self._shares = shares
        self._overload = overload
        self._reservations = Reservations(admission)
        self._critical_run = 0
        self._permit_run = 0
        self.round = 0
        self.used_up = 0
        self._kept_up = 0  # the part of it of which something is kept: no start of this decision can have it
        self._bursts_at = -inf
        self.burst_allowed = True
        self.limits: dict[int, int] = {}
        self.causes = Causes()
        self._classes = ALL_CLASSES
        self.retry_at: float | None = None

    @property
    def lowest_class(self) -> int:
        """The lowest class that may start; a larger number is a lower class."""
        return self._classes.bit_length() - 1

    @lowest_class.setter
    def lowest_class(self, lowest: int) -> None:
        self._classes = (2 << lowest) - 1

    def uncontended(self, now: float, most: int) -> tuple[list[Lane], int]:
        """Return lanes with work that need no choosing, and how many of their tasks may start.

        That is so if there is enough for whatever ``most`` of the ready tasks need: in this
        decision nobody competes, and those who get ahead by it are charged for it. And if
        only one lane has work, all of whose tasks need the same: then as many as fit.
        """
        if self.limits or self._classes != ALL_CLASSES or self._overload.batch_share < 1.0:
            return [], 0
        free, rates = self._admission.free, self._admission.rate_mask
        wanted: dict[int, int] = {}
        largest: dict[int, int] = {}
        lanes: list[Lane] = []
        fitting = most
        for pipeline in self._shares.backlogged:
            if pipeline.suspended is not None:
                return [], 0
            for lane in pipeline.queue.lanes.values():
                if not lane.size:
                    continue
                if lane.needs is None or lane.mask & rates or fitting < most:
                    return [], 0
                for index, amount in lane.needs:
                    if amount > free[index]:
                        return [], 0
                    total = wanted[index] = wanted.get(index, 0) + amount * lane.size
                    if amount > largest.get(index, 0):
                        largest[index] = amount
                    if total > free[index] and largest[index] * most > free[index]:
                        if lanes:
                            return [], 0
                        fitting = min(fitting, free[index] // amount)
                lanes.append(lane)
        self._begin(now)
        self._critical_run = self._permit_run = 0
        return lanes, fitting

    def _begin(self, now: float) -> None:
        self.round += 1
        self.retry_at = None
        self._reservations.clear()
        self._kept_up = 0
        self._overload.advance(now)
        shares = self._shares
        shares.advance(min([pipeline.v for pipeline in shares.backlogged]))
        if now >= self._bursts_at:
            self._bursts_at = now + _BURSTS_S
            shares.observe_bursts(allowed=self.burst_allowed)

    def choices(self, now: float) -> Iterator[Task]:
        """Yield what to start, in order; each must have been taken out of its lane before the next is asked for."""
        self._begin(now)
        if self._admission.rates:
            self._admission.refill(now)
        shares = self._shares
        if any(lane.size for pipeline in shares.backlogged for lane in pipeline.queue.claims):
            yield from self._claimed(now)
        yield from self._due(now)

    def kept_for(self, mask: int) -> Lane | None:
        """Return the lane for which all was kept that the last decision left of one of these resources."""
        kept_up = mask & self._kept_up
        return self._reservations.keeper(kept_up) if kept_up else None

    # -- rules 2 to 4 -------------------------------------------------------

    def _due(self, now: float) -> Iterator[Task]:
        shares = self._shares
        free = self._admission.free
        lasting = ~self._admission.rate_mask  # for a rate, the time at which it is back has to be found
        self.used_up = self._admission.used_up() & lasting
        if self.used_up and not self._anything_may_fit():
            return
        heap = self._ranking()
        held_up_at: float | None = None
        while heap:
            tier, v, order, pipeline = heap[0]
            task = self._first_fit(pipeline, tier, now)
            if task is None:
                if tier == _DUE and held_up_at is None:
                    held_up_at = v
                self._kept_up = self._reservations.used_up() & lasting
                self.used_up |= self._kept_up
                if self._kept_up and not self._anything_may_fit():
                    return
                self._next_tier(heap)
                continue
            if tier == _DUE:
                due = v if held_up_at is None else held_up_at
                if due > shares.v:
                    shares.v = due
            # Before the task is handed out: the caller may not come back for another.
            precedence_changed = (self._critical_run or self._permit_run or not task.priority) and self._counts(task)
            yield task
            used_up = 0
            for index, _ in task.needs:
                if free[index] <= 0:
                    used_up |= 1 << index
            if used_up:
                self.used_up |= used_up & lasting
                if not self._anything_may_fit():
                    return
            if precedence_changed:
                heap = self._ranking()
                continue
            if not pipeline.queue.size:
                heapq.heappop(heap)
                continue
            if tier == _URGENT and not pipeline.queue.critical:
                tier = self._tier(pipeline)
            heapq.heapreplace(heap, (tier, pipeline.v, order, pipeline))

    def _anything_may_fit(self) -> bool:
        """Return whether there is a lane none of whose resources is used up.

        Half of all questions come when the machine is full: this answers them without
        looking at any task.
        """
        used_up, this = self.used_up, self.round
        for pipeline in self._shares.backlogged:
            for lane in pipeline.queue.contenders:
                if lane.size and not lane.mask & used_up and lane.round != this:
                    return True
        return False

    def _ranking(self) -> list[Ranked]:
        precedence = self._critical_run < URGENT_RUN
        heap = []
        order = 0
        for pipeline in self._shares.backlogged:
            if pipeline.suspended is None:
                tier = _URGENT if precedence and pipeline.queue.critical else self._tier(pipeline)
                heap.append((tier, pipeline.v, order, pipeline))
                order += 1
        if order > 1:
            heapq.heapify(heap)
        return heap

    def _tier(self, pipeline: PipelineShare) -> int:
        return _COOLING if pipeline.burst.cooling else _DUE

    def _next_tier(self, heap: list[Ranked]) -> None:
        """Move the first pipeline on, now that nothing of it fits in its tier."""
        tier, _, order, pipeline = heapq.heappop(heap)
        if tier == _URGENT:
            heapq.heappush(heap, (self._tier(pipeline), pipeline.v, order, pipeline))
        elif tier < _ASIDE and any(lane.gate == "aside" for lane in pipeline.queue.contenders):
            heapq.heappush(heap, (_ASIDE, pipeline.v, order, pipeline))

    def _counts(self, task: Task) -> bool:
        """Count a start; return whether critical work got or lost its precedence by it."""
        if self._permit_run and not task.claim:
            self._permit_run = 0
        run = self._critical_run
        if not task.priority and any(each.queue.size > each.queue.critical for each in self._shares.backlogged):
            self._critical_run = run + 1
        else:
            self._critical_run = 0
        return (run < URGENT_RUN) != (self._critical_run < URGENT_RUN)

    # -- one pipeline -------------------------------------------------------

    def _first_fit(self, pipeline: PipelineShare, tier: int, now: float) -> Task | None:
        overload = self._overload
        aside = overload.lowest < 4 or overload.batch_share < 1.0
        return self._fitting(pipeline.queue.contenders, now, tier if aside or tier == _URGENT else None)

    def _fitting(self, lanes: Sequence[Lane], now: float, tier: int | None = None) -> Task | None:
        """Return the most urgent head that fits and touches nothing that is kept; note what does not.

        Args:
            lanes: Lanes of one pipeline.
            now: Seconds on a clock that never goes back.
            tier: If given, heads that have no place in this tier are left out.
        """
        admission, reservations, this = self._admission, self._reservations, self.round
        free, rates, skipped = admission.free, admission.rate_mask, self._kept_up
        best: Task | None = None
        for lane in lanes:
            if not lane.size or lane.round == this or lane.mask & skipped:
                continue
            task = lane.head(now, ALL_CLASSES if lane.claim else self._classes)
            if task is None:
                self._holds_up(lane, "degraded")
                continue
            if tier is not None and not self._has_place(task, lane, tier, now):
                continue
            lacking = self._over_limit(task) if self.limits and not lane.claim else 0
            for index, amount in task.needs:
                if free[index] < amount:
                    lacking |= 1 << index
            if not lacking:
                if best is None or goes_before(task, best, now, by_age=task.pipeline.queue.run >= URGENT_RUN):
                    best = task
                continue
            reservations.hold(task, lane, lacking)
            lane.round, lane.gate = this, lacking
            if lacking & rates:
                overtaker = self._wait_for_rate(task, lane, lacking, now)
                if overtaker is not None and (best is None or goes_before(overtaker, best, now, by_age=False)):
                    best = overtaker
        if best is not None and reservations.passed:  # only now: what is held up may stand in the last lane
            keeper = reservations.in_the_way(best)
            if keeper is not None:
                if best.lane.round != this:  # else its head is held up already
                    reservations.hold(best, best.lane, 0)
                self._holds_up(best.lane, keeper)
                return self._fitting(lanes, now, tier)
        return best

    def _wait_for_rate(self, head: Task, lane: Lane, lacking: int, now: float) -> Task | None:
        """Note when a rate that a head lacks is back; return a task that may start before it meanwhile."""
        admission = self._admission
        at = admission.wait_for(head.needs, now)
        self._ask_again(at)
        # Equal needs would fit no better.
        if lane.needs is not None or lacking & ~admission.rate_mask:
            return None
        overtaker, at_last = lane.overtaking.look(head, at, admission, now)
        if at_last is not None:
            self._ask_again(at_last)
        return overtaker

    def _ask_again(self, at: float) -> None:
        if self.retry_at is None or at < self.retry_at:
            self.retry_at = at

    def _has_place(self, task: Task, lane: Lane, tier: int, now: float) -> bool:
        return not (tier == _URGENT and not lane.used & 1) and not self._steps_aside(task, lane, tier, now)

    def _over_limit(self, task: Task) -> int:
        """Return the set of resources of which tasks hold as much as they may for now, one bit each."""
        capacity, free, aside = self._admission.capacity, self._admission.free, self._admission.aside
        over = 0
        for index, limit in self.limits.items():
            held = capacity[index] - free[index] - aside.get(index, 0)
            if held > 0 and any(needed == index and held + amount > limit for needed, amount in task.needs):
                over |= 1 << index
        return over

    def _steps_aside(self, task: Task, lane: Lane, tier: int, now: float) -> bool:
        """Return whether a head must wait because of overload (rule 4)."""
        overload = self._overload
        if tier < _ASIDE and overload.goes_last(task.priority, aged(task, now)):
            lane.gate = "aside"
            return True
        if task.priority > Priority.HIGH and overload.batch_share < 1.0 and task.mask & SLOTS:
            room = overload.room()
            if room <= 1e-9 or self._admission.share(task.needs) > room + 1e-9:
                self._holds_up(lane, "overload")
                return True
        return False

    def _holds_up(self, lane: Lane, gate: object) -> None:
        lane.round = self.round
        lane.gate = gate

    # -- rule 1 -------------------------------------------------------------

    def _claimed(self, now: float) -> Iterator[Task]:
        backlogged = self._shares.backlogged
        for claim in (Claim.AWAITED, Claim.PERMIT):
            self._reservations.claim = claim
            while True:
                # A suspended pipeline has no other turn: what runs of it is to end.
                suspended_only = claim == Claim.PERMIT and self._permit_run >= URGENT_RUN
                task = self._first_claim(claim, now, suspended_only=suspended_only)
                if task is None:
                    break
                if claim == Claim.PERMIT:
                    others = any(other.queue.size > other.queue.claimed for other in backlogged)
                    self._permit_run = self._permit_run + 1 if others else 0
                yield task
        self._reservations.claim = Claim.START

    def _first_claim(self, claim: int, now: float, *, suspended_only: bool) -> Task | None:
        for pipeline in sorted(self._shares.backlogged, key=_by_virtual_time):
            if suspended_only and pipeline.suspended is None:
                continue
            if pipeline.withheld and claim == Claim.PERMIT:
                continue
            lanes = [lane for lane in pipeline.queue.claims if lane.claim == claim]
            task = self._fitting(lanes, now)
            if task is not None:
                return task
        return None
