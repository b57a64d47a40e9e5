"""Suspends the pipelines of what is not well: a worker that keeps dying, a component that is down."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tenire.core.health import Health
from tenire.errors import WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tenire.clock import Clock
    from tenire.concurrency.handle import Handle
    from tenire.concurrency.supervisor import ComponentChanged
    from tenire.concurrency.timer import UniversalTimer
    from tenire.core.fair_share import FairShare

__all__ = ["WorkerHealth"]

_log = logging.getLogger("tenire.health")


class WorkerHealth:
    """Watches how tasks of named workers end, and how components fare that pipelines need.

    Args:
        shares: The pipelines.
        timer: The engine's timer.
        clock: Where time comes from.
        wake: Has the scheduler asked again.
    """

    def __init__(self, shares: FairShare, *, timer: UniversalTimer, clock: Clock, wake: Callable[[], None]) -> None:
        self._shares = shares
        self._timer = timer
        self._clock = clock
        self._wake = wake
        self._health = Health()
        self._components = Health()

    def ended(self, handle: Handle[Any], error: BaseException | None) -> None:
        """Take in how a task of a named worker ended."""
        worker = handle.worker
        if worker is None:
            return
        if not isinstance(error, WorkerDiedError):
            self._resume(self._reason(worker), self._health.worked(worker))
            return
        until = self._health.failed(worker, handle.pipeline.name, self._clock.now())
        if until is not None:
            reason = self._reason(worker)
            for name in self._health.pipelines(worker):
                pipeline = self._shares.pipeline(name)
                pipeline.suspended = pipeline.suspended or reason
            _log.warning("%s; it is tried again in %.0f s", reason, until - self._clock.now())
            self._timer.at(until, lambda: self._try(worker))

    def changed(self, change: ComponentChanged) -> None:
        """Take in how a component fares; who needs one that was given up finds out by itself."""
        name = change.component
        if change.state == "down":
            self._components.fell(name, change.pipelines)
            for pipeline in map(self._shares.pipeline, change.pipelines):
                pipeline.suspended = pipeline.suspended or self.reason(pipeline.name)
        else:
            self._resume(_down(name), self._components.worked(name))

    def reason(self, pipeline: str) -> str | None:
        """Return why a pipeline may not start anything now, or ``None``."""
        component = self._components.ailing(pipeline)
        if component is not None:
            return _down(component)
        worker = self._health.ailing(pipeline)
        return None if worker is None else self._reason(worker)

    def _try(self, worker: str) -> None:
        if self._health.tried(worker, self._clock.now()):
            self._resume(self._reason(worker), self._health.pipelines(worker))

    def _resume(self, reason: str, pipelines: Iterable[str]) -> None:
        for name in pipelines:
            pipeline = self._shares.pipeline(name)
            if pipeline.suspended == reason:  # and not suspended by somebody else
                pipeline.suspend(self.reason(name), self._clock.now())
                self._wake()

    @staticmethod
    def _reason(worker: str) -> str:
        return f"worker {worker!r} died several times in a row"


def _down(component: str) -> str:
    return f"component {component!r} failed, and is to start again"
