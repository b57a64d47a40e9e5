"""A frozen picture of the whole engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.core.tasks import CPU_UNIT
from tenire.observe.metrics import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.concurrency.compactor import CompactionStatistics
    from tenire.concurrency.data import DataStatistics
    from tenire.concurrency.parts import Parts
    from tenire.concurrency.pools import PoolStatistics
    from tenire.concurrency.supervisor import ChildStatistics
    from tenire.core.quantiles import QuantileSketch

__all__ = ["PipelineSnapshot", "ResourceSnapshot", "Snapshot", "Spread", "take_snapshot"]


@dataclass(frozen=True, slots=True)
class ResourceSnapshot:
    """One resource: CPU slots, bytes, or slots of another kind.

    Attributes:
        held: What running tasks hold.
        capacity: What there is; under load, what may be held for now.
    """

    held: float
    capacity: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How values are spread, each within one per cent.

    Attributes:
        count: Values.
        total: Their sum.
        quantiles: Values by part, from 0 to 1: ``quantiles[0.99]``; ``None`` while there are none.
    """

    count: int
    total: float
    quantiles: Mapping[float, float | None]


@dataclass(frozen=True, slots=True)
class PipelineSnapshot:
    """One pipeline's tasks and its share.

    Attributes:
        weight: As configured.
        priority: As configured: ``critical`` … ``idle``.
        running: Tasks that run now.
        ready: Tasks that wait for nothing but their turn and their resources.
        submitted: Tasks ever submitted.
        ended: Tasks that ended, however they did.
        virtual_time: Weighted use of the machine so far, seconds.
        cooling: Whether it used up its burst credit, so that others go first.
        failed: Tasks of those that ended that failed, dependents of failed ones included.
        cancelled: Tasks of those that ended that were cancelled.
        retried: How often a task was to be tried again.
        took: How long tasks ran that went well, seconds. Of those shorter than a
            hundredth of a second one in sixty-four is looked at, and counts for all of those.
        waited: How long those were ready before they started, seconds.
    """

    weight: float
    priority: str
    running: int
    ready: int
    submitted: int
    ended: int
    virtual_time: float
    cooling: bool
    failed: int
    cancelled: int
    retried: int
    took: Spread
    waited: Spread


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole engine at one moment.

    Attributes:
        running: Tasks that run now.
        queued: Tasks that wait, for whatever reason.
        pipelines: By name.
        resources: By name: ``cpu`` (slots), ``memory`` (bytes), ``threads``, …
        pools: Threads and worker processes.
        timers: Things that the timer will call.
        components: How each supervised component fares, by name.
        data: What blobs and caches take.
        compactor: What was tidied up.
        latest_s: The worst lateness of a timer so far, seconds.
        level: ``normal``, ``elevated``, ``high`` or ``critical``: what is left out under load.
        load: The load of the machine from 0 to 1, or ``None`` if nothing is known of it.
        reason: Why the engine does less than it could, or ``None`` if it does not.
        overload: Which classes of work go last because other work waits far too long,
            or ``None`` if none does.
    """

    running: int
    queued: int
    pipelines: Mapping[str, PipelineSnapshot]
    resources: Mapping[str, ResourceSnapshot]
    pools: PoolStatistics
    timers: int
    components: Mapping[str, ChildStatistics]
    data: DataStatistics
    compactor: CompactionStatistics
    latest_s: float
    level: str
    load: float | None
    reason: str | None
    overload: str | None


def take_snapshot(parts: Parts) -> Snapshot:
    """Return a picture of the engine as it is now."""
    orchestrator, control = parts.orchestrator, parts.control
    scheduler = orchestrator.scheduler
    resources = {}
    limits = scheduler.selection.limits
    for index, (name, (held, capacity)) in enumerate(scheduler.admission.held().items()):
        capacity = min(capacity, limits.get(index, capacity))
        unit = CPU_UNIT if name == "cpu" else 1
        resources[name] = ResourceSnapshot(held / unit, capacity / unit)
    permits = Counter(permit.pipeline.name for permit in orchestrator.permits)
    pipelines = {
        name: PipelineSnapshot(
            weight=share.weight,
            priority=share.priority.name.lower(),
            running=share.running - permits[name],
            ready=share.queue.size,
            submitted=share.submitted,
            ended=share.ended,
            virtual_time=share.v,
            cooling=share.burst.cooling,
            failed=share.failed,
            cancelled=share.cancelled,
            retried=share.retried,
            took=_spread(share.took),
            waited=_spread(share.waited),
        )
        for name, share in list(scheduler.shares.pipelines.items())
    }
    return Snapshot(
        running=orchestrator.running,
        queued=scheduler.queued,
        pipelines=pipelines,
        resources=resources,
        pools=parts.thread_pool.statistics(),
        timers=len(parts.timer),
        components=parts.supervisor.statistics(),
        data=parts.data_manager.statistics(),
        compactor=parts.compactor.statistics(),
        latest_s=parts.timer.latest_s,
        level=control.level,
        load=control.load,
        reason=control.reason,
        overload=control.overload,
    )


def _spread(sketch: QuantileSketch) -> Spread:
    return Spread(sketch.count, sketch.total, sketch.quantiles(QUANTILES))
