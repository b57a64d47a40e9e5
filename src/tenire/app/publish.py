"""Tells other processes what this engine does, while it runs pipelines on a home.

``control`` answers who asks. What stands in a file besides is for those who ask an
engine that cannot answer any more:

1. The file is replaced as a whole: a reader sees one moment or another, never half
   of each. It is readable for its owner only.
2. It is written on a thread, at most once in ``PERIOD_S``, and only if something
   changed; the clock alone is no change, but after ``STALE_S`` it is written anyway.
3. It is removed at the end. What a killed engine leaves is told apart by its pid.
4. A home that cannot be written is logged once and stops nothing.
5. It is a component: if it does not tick any more, or a write does not end, its supervisor
   starts it again. A write that hangs keeps it from beginning another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import math
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.app.published import (
    ExplainedTask,
    Published,
    PublishedComponent,
    PublishedMetric,
    PublishedPipeline,
    PublishedQuota,
    PublishedResource,
    PublishedStage,
    PublishedTask,
    PublishedWorkers,
    as_text,
    engine_path,
    task_id,
)
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency import Child
from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.unbroken import unbroken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from pathlib import Path

    from tenire.clock import Clock
    from tenire.concurrency import Life
    from tenire.concurrency.ended_tasks import EndedTask
    from tenire.concurrency.handle import Handle
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.concurrency.pools import PoolStatistics
    from tenire.concurrency.quotas import QuotaStatistics
    from tenire.concurrency.snapshot import Snapshot
    from tenire.pipeline.progress import PipelineProgress
    from tenire.storage.home import Home

__all__ = ["MOST_TASKS", "PERIOD_S", "STALE_S", "Besides", "Publisher", "essence", "explained", "look", "publishing"]

PERIOD_S = 1.0
STALE_S = 10.0
MOST_TASKS = 20
"""Tasks told of one pipeline."""

_SILENCE_S = 60.0
_TOO_MANY = 1_000
"""With more tasks waiting only those that run are looked at: the loop has other things to do."""

_log = logging.getLogger("tenire.publish")


@dataclass(slots=True)
class Besides:
    """What is told of a run that its engine does not know; asked for with every look.

    Attributes:
        quotas: Returns how much of each quota is used, by name.
        breakers: Returns the state of the breaker of each pipeline that calls a model.
        resident: Returns the memory of engine and workers, bytes; 0 if nobody has looked.
        saw: Is told what was seen.
    """

    quotas: Callable[[], Mapping[str, QuotaStatistics]] = dict
    breakers: Callable[[], Mapping[str, str]] = dict
    resident: Callable[[], int] = int
    saw: Callable[[Published], object] = lambda _: None


@asynccontextmanager
async def publishing(
    home: Home,
    manager: ConcurrencyManager,
    progress: Mapping[str, PipelineProgress],
    *,
    clock: Clock,
    besides: Besides | None = None,
) -> AsyncIterator[None]:
    """Tell what the engine does while the block runs.

    Args:
        home: The home, whose lock this engine holds.
        manager: The engine.
        progress: Its pipelines.
        clock: For the time of what is told.
        besides: What else is told.
    """
    publisher = Publisher(home, manager, progress, clock=clock, besides=besides)

    async def end() -> None:
        await manager.supervisor.remove("publisher")
        await publisher.aclose()

    silence = _SILENCE_S if clock is SYSTEM_CLOCK else None
    child = Child("publisher", publisher.run, optional=True, silence=silence, ask=publisher.ask)
    await manager.supervisor.add(child)
    try:
        yield
    finally:
        # To the end even if cancelled: the file must not outlive the run.
        await unbroken(end())


class Publisher:
    """Writes the file; on the engine's loop. See ``publishing`` for the arguments."""

    def __init__(
        self,
        home: Home,
        manager: ConcurrencyManager,
        progress: Mapping[str, PipelineProgress],
        *,
        clock: Clock,
        besides: Besides | None = None,
    ) -> None:
        self._besides = besides
        self._path = engine_path(home)
        self._manager = manager
        self._progress = progress
        self._clock = clock
        self._last: Any = None
        self._stale_at = 0.0
        self._writing: asyncio.Task[None] | None = None
        self._told = False

    async def run(self, life: Life) -> None:
        """Be a component: write now and then for as long as it lives."""

        def tick() -> None:
            try:
                before = self._writing
                if before is None or before.done():  # before the next one begins: a busy run writes with each tick
                    life.beat()
                self.tick()
                if self._writing is not None and self._writing is not before:
                    self._writing.add_done_callback(ended)
            except Exception as error:  # noqa: BLE001 - the supervisor decides
                life.fail(error)

        def ended(writing: asyncio.Task[None]) -> None:
            error = asyncio.CancelledError() if writing.cancelled() else writing.exception()
            if error is not None:
                self._last = None
                life.fail(error)

        ticking = self._manager.control.every(PERIOD_S, tick)
        tick()
        life.ready()
        try:
            await life.wait_told_to_end()
        finally:
            ticking.cancel()

    def ask(self, beat: Callable[[], None]) -> None:
        """Have ``beat`` called once what is being written is there; otherwise the next tick is the sign of life."""
        if self._writing is not None and not self._writing.done():
            self._writing.add_done_callback(lambda _: beat())

    def tick(self) -> None:
        """Write if something changed and nothing is being written."""
        if self._writing is not None and not self._writing.done():
            return
        published = look(self._manager, self._progress, at=self._clock.wall(), besides=self._besides)
        facts = essence(published)
        now = self._clock.now()
        if facts == self._last and now < self._stale_at:
            return
        self._last = facts
        self._stale_at = now + STALE_S
        self._writing = asyncio.get_running_loop().create_task(self._write(published), name="tenire publish")

    async def aclose(self) -> None:
        """Remove the file."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        await run_blocking(_remove, self._path)

    async def _write(self, published: Published) -> None:
        try:
            await run_blocking(_replace, self._path, published)
        except OSError as error:
            self._last = None
            _log.log(
                logging.DEBUG if self._told else logging.WARNING,
                "tenire status cannot show what runs here: %s cannot be written (%s)",
                self._path,
                error.strerror,
            )
            self._told = True


def look(
    manager: ConcurrencyManager,
    progress: Mapping[str, PipelineProgress],
    *,
    at: float,
    besides: Besides | None = None,
) -> Published:
    """Return what there is to tell now; on the engine's loop."""
    besides = besides or Besides()
    snapshot = manager.snapshot()
    many = snapshot.queued > _TOO_MANY
    handles = manager.orchestrator.unfinished() if many else manager.async_tasks.unfinished()
    tasks: dict[str, list[Handle[Any]]] = {name: [] for name in progress}
    for handle in handles:
        if handle.pipeline.name in tasks and not handle.done():
            tasks[handle.pipeline.name].append(handle)
    load = snapshot.load
    breakers = besides.breakers()
    published = Published(
        pid=os.getpid(),
        at=at,
        level=snapshot.level,
        load=None if load is None else round(float(load), 2),
        running=snapshot.running,
        queued=snapshot.queued,
        pipelines={
            name: _pipeline(each, snapshot, tasks[name], breakers.get(name, "")) for name, each in progress.items()
        },
        reason=snapshot.reason,
        overload=snapshot.overload,
        components={
            name: PublishedComponent(fares.health, fares.restarts, fares.error)
            for name, fares in snapshot.components.items()
        },
        quotas={name: _quota(used) for name, used in besides.quotas().items()},
        resources={name: PublishedResource(used.held, used.capacity) for name, used in snapshot.resources.items()},
        workers=_workers(snapshot.pools),
        resident=besides.resident(),
    )
    besides.saw(published)
    return published


def _workers(pools: PoolStatistics) -> PublishedWorkers:
    return PublishedWorkers(pools.threads, pools.threads_busy, len(pools.processes), pools.replaced)


def _quota(used: QuotaStatistics) -> PublishedQuota:
    return PublishedQuota(
        metrics={name: PublishedMetric(metric.spent, metric.limit) for name, metric in used.metrics.items()},
        in_flight=used.in_flight,
        slots=used.slots,
        waiting=used.waiting,
        refused=used.refused,
        pause=math.ceil(used.frozen_for),
    )


def explained(manager: ConcurrencyManager, task: str) -> ExplainedTask | None:
    """Return one task that waits or runs, or ended lately, or ``None`` if there is none of that id."""
    found = (handle for handle in manager.async_tasks.unfinished() if task_id(handle.seq) == task)
    handle = next(found, None)
    if handle is not None and not handle.done():
        return ExplainedTask(handle.pipeline.name, _task(handle))
    ended = next((each for each in manager.async_tasks.ended() if task_id(each.number) == task), None)
    if ended is None:
        return None
    reason = _how(ended, manager.loops.main.clock.now())
    return ExplainedTask(ended.pipeline, PublishedTask(task, ended.state, ended.name, reason, "none"))


def _how(ended: EndedTask, now: float) -> str:
    ago = f"{max(0.0, now - ended.ended_at):.0f} s ago"
    if ended.state == "cancelled":
        return f"it was cancelled {ago}"
    took = "" if ended.seconds is None else f"it took {ended.seconds:.2g} s and "
    times = "" if ended.attempts <= 1 else f", at try {ended.attempts}"
    return f"{took}ended {ago}{times}" + ("" if ended.error is None else f", with {ended.error.rstrip('.')}")


def _pipeline(
    progress: PipelineProgress, snapshot: Snapshot, handles: Iterable[Handle[Any]], breaker: str
) -> PublishedPipeline:
    counts = snapshot.pipelines.get(progress.name)
    chosen = heapq.nsmallest(MOST_TASKS, handles, key=lambda handle: (handle.state_name() != "running", handle.seq))
    return PublishedPipeline(
        totals=progress.totals() | {"state": progress.shown_state},
        running=counts.running if counts is not None else 0,
        queued=counts.ready if counts is not None else 0,
        tasks=[_task(handle) for handle in chosen],
        priority=counts.priority if counts is not None else "",
        weight=counts.weight if counts is not None else 1.0,
        unit=progress.unit,
        finished=progress.finished,
        expected=progress.files_total,
        reached=progress.reached,
        total=progress.total,
        listed=progress.listed,
        stages=[
            PublishedStage(stage.name, stage.done, stage.waiting, stage.running, stage.workers, stage.unit)
            for stage in progress.stages
        ],
        breaker=breaker,
    )


def _task(handle: Handle[Any]) -> PublishedTask:
    explanation = handle.explain()
    gate = explanation.gate
    return PublishedTask(task_id(handle.seq), explanation.state, explanation.task, explanation.reason, gate)


def essence(published: Published) -> Any:
    """Return what makes a difference: all but the time that has passed."""
    facts = msgspec.to_builtins(published)
    del facts["at"]
    del facts["resident"]
    for pipeline in facts["pipelines"].values():
        pipeline["totals"].pop("seconds", None)
    return facts


def _replace(path: Path, published: Published) -> None:
    # Always the same name beside it: one that a kill left behind is used up by the next engine.
    temporary = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    text = as_text(published)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def _remove(path: Path) -> None:
    for left in (path, path.with_name(path.name + ".new")):
        # On a disk that cannot be written any more it stays, and is known by its pid to be old.
        with contextlib.suppress(OSError):
            left.unlink()
