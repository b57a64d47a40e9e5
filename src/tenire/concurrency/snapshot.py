"""A frozen picture of the whole engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.core.tasks import CPU_UNIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.concurrency.control import Control
    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.concurrency.pools import PoolStatistics, ThreadPoolManager
    from tenire.concurrency.supervisor import ChildStatistics, Supervisor

__all__ = ["PipelineSnapshot", "ResourceSnapshot", "Snapshot", "take_snapshot"]


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
    """

    weight: float
    priority: str
    running: int
    ready: int
    submitted: int
    ended: int
    virtual_time: float
    cooling: bool


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
        level: ``normal``, ``elevated``, ``high`` or ``critical``: what is left out under load.
        load: The load of the machine from 0 to 1, or ``None`` if nothing is known of it.
        reason: Why the engine does less than it could, or ``None`` if it does not.
    """

    running: int
    queued: int
    pipelines: Mapping[str, PipelineSnapshot]
    resources: Mapping[str, ResourceSnapshot]
    pools: PoolStatistics
    timers: int
    components: Mapping[str, ChildStatistics]
    level: str
    load: float | None
    reason: str | None


def take_snapshot(
    orchestrator: Orchestrator, pools: ThreadPoolManager, timers: int, control: Control, supervisor: Supervisor
) -> Snapshot:
    """Return a picture of the engine as it is now."""
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
        )
        for name, share in list(scheduler.shares.pipelines.items())
    }
    return Snapshot(
        running=orchestrator.running,
        queued=scheduler.queued,
        pipelines=pipelines,
        resources=resources,
        pools=pools.statistics(),
        timers=timers,
        components=supervisor.statistics(),
        level=control.level,
        load=control.load,
        reason=control.reason,
    )
