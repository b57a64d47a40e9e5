"""Which of the ready tasks that need something starts next.

1. Work that was born critical is looked at first, in all pipelines; then the
   pipeline with the smallest virtual time; those without burst credit last.
2. Within a pipeline the heads of its lanes go by their aged class, then by the
   time at which they became ready.
3. After ``CRITICAL_RUN`` critical starts in a row while other work waits, critical
   work has no precedence until something else has started: nothing waits for ever.
4. If the head of a lane lacks a resource, others that compete with it may start
   ahead of it ``bypass`` times, or never if critical work waits there. Then all that
   it needs is kept for it, even if a slot stays idle while memory comes free: if only
   what it lacks were kept, two streams could take turns in keeping it out for ever.
5. Nothing is kept for a task that the whole capacity, lowered meanwhile, could not
   serve.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from tenire.core.ready_queue import CRITICAL_RUN, aged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.core.admission import Admission
    from tenire.core.fair_share import FairShare, PipelineShare
    from tenire.core.ready_queue import Lane
    from tenire.core.tasks import Task

__all__ = ["Selection"]

_by_virtual_time = attrgetter("v")


class Selection:
    """Chooses the next task among the pipelines with work waiting."""

    __slots__ = ("_admission", "_bypass", "_critical_run", "_shares")

    def __init__(self, admission: Admission, shares: FairShare, *, bypass: int) -> None:
        self._admission = admission
        self._shares = shares
        self._bypass = bypass
        self._critical_run = 0

    def choose(self, now: float) -> tuple[Lane, Task] | None:
        """Return the task to start and its lane, or ``None`` if nothing fits."""
        if len(self._shares.backlogged) > 1 and not self._anything_may_fit():
            return None
        ranked = self._rank(now)
        choice = self._pick(ranked, now)
        if choice is not None:
            self._shares.advance(ranked[0].v)
        return choice

    def _pick(self, ranked: Sequence[PipelineShare], now: float) -> tuple[Lane, Task] | None:
        passed: list[Lane] = []
        kept: dict[int, int] = {}
        urgent = [pipeline for pipeline in ranked if pipeline.queue.critical]
        first = bool(urgent) and self._critical_run < CRITICAL_RUN
        if first:
            for pipeline in urgent:
                # With the whole lane, so that an aged head whose turn has come (rule 3
                # of the ready queue) does not hold up the critical work behind it.
                heads = [head for head in _heads(pipeline, now) if head[1].urgent()]
                choice = self._first_fit(heads, passed, kept)
                if choice is not None:
                    others = any(other.queue.size > other.queue.critical for other in ranked)
                    self._critical_run = self._critical_run + 1 if others else 0
                    return choice
        for pipeline in ranked:
            heads = _heads(pipeline, now)
            if first and pipeline.queue.critical:
                heads = [head for head in heads if not head[1].urgent()]
            choice = self._first_fit(heads, passed, kept)
            if choice is not None:
                if choice[1].priority:
                    self._critical_run = 0
                return choice
        return None

    def _anything_may_fit(self) -> bool:
        """Return whether there is a lane none of whose resources is used up.

        Half of all questions come when the machine is full: this answers them without
        looking at any task.
        """
        used_up = self._admission.used_up()
        if not used_up:
            return True
        for pipeline in self._shares.backlogged:
            for lane in pipeline.queue.lanes.values():
                if lane.size and lane.mask and not lane.mask & used_up:
                    return True
        return False

    def _rank(self, now: float) -> Sequence[PipelineShare]:
        """Return the pipelines with work waiting, the one that is due first in front."""
        ranked: Sequence[PipelineShare] = self._shares.backlogged
        if len(ranked) == 1:
            burst = ranked[0].burst
            if burst.fair < 1.0:
                burst.observe(now, fair=1.0)
        else:
            ranked = sorted(ranked, key=_by_virtual_time)
            pull = sum([pipeline.pull for pipeline in ranked])
            cooling = [pipeline for pipeline in ranked if pipeline.burst.observe(now, fair=pipeline.pull / pull)]
            if cooling and len(cooling) < len(ranked):
                ranked = [pipeline for pipeline in ranked if not pipeline.burst.cooling] + cooling
        return ranked

    def _first_fit(
        self, heads: Sequence[tuple[Task, Lane]], passed: list[Lane], kept: dict[int, int]
    ) -> tuple[Lane, Task] | None:
        """Return the first head that may start; note the others in ``passed`` and ``kept`` (rule 4)."""
        admission = self._admission
        for task, lane in heads:
            needs = task.needs
            lacking = admission.lacking(needs)
            if not lacking and not (kept and admission.spoken_for(needs, kept)):
                for other in passed:
                    if other.mask & lane.mask:
                        other.bypassed += 1
                return lane, task
            passed.append(lane)
            if lacking and (lane.bypassed >= self._bypass or lane.urgent()) and admission.possible(needs):
                for index, amount in needs:
                    kept[index] = kept.get(index, 0) + amount
        return None


def _heads(pipeline: PipelineShare, now: float) -> list[tuple[Task, Lane]]:
    """Return the heads of a pipeline's lanes that need something, the most urgent first."""
    heads: list[tuple[Task, Lane]] = []
    for lane in pipeline.queue.lanes.values():
        if lane.size and lane.mask:
            task = lane.head(now)
            if task is not None:
                heads.append((task, lane))
    if len(heads) > 1:
        heads.sort(key=lambda head: (aged(head[0], now), head[0].ready_at, head[0].seq))
    return heads
