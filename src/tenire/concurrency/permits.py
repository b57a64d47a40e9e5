"""Permits: resources that a running coroutine holds for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.concurrency.handle import PERMIT, Handle
from tenire.concurrency.submit import priority_of
from tenire.core.tasks import RUNNING
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from types import TracebackType

    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.core.tasks import Priority, Resources

__all__ = ["Permit"]


class Permit:
    """An async context manager that holds resources while it is open.

    It waits its turn like a task, in the same queues.

    Args:
        orchestrator: Who grants it.
        needs: What to hold.
        priority: Its class.
        pipeline: Whose share it is charged to.
        name: For explanations.
        deadline: Seconds to wait at the most; ``None`` for no limit.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        needs: Resources,
        *,
        priority: Priority | str,
        pipeline: str,
        name: str,
        deadline: float | None,
    ) -> None:
        self._orchestrator = orchestrator
        self._needs = orchestrator.scheduler.needs(needs, task=name)
        self._priority = priority_of(priority)
        self._pipeline = pipeline
        self._name = name
        self._deadline = deadline
        self._handle: Handle[None] | None = None

    async def __aenter__(self) -> Handle[None]:
        orchestrator = self._orchestrator
        if self._handle is not None:
            message = f"the permit {self._name!r} is open already; ask for another one"
            raise ConfigError(message, key="permit")
        if orchestrator.closed:
            message = f"the engine is closed and grants no permit ({self._name!r})"
            raise RejectedError(message)
        due = None if self._deadline is None else orchestrator.due(self._deadline, name=self._name)
        share = orchestrator.scheduler.shares.pipeline(self._pipeline)
        handle: Handle[None] = Handle(
            share, self._name, self._priority, self._needs, due, _nothing, (), PERMIT, None, None, None, orchestrator
        )
        self._handle = handle
        orchestrator.accept(handle)
        try:
            await handle
        except BaseException:
            self._handle = None
            # Granted and cancelled in the same turn of the loop: what was granted
            # must not be lost with the one who waited for it.
            if handle.state == RUNNING:
                orchestrator.end_permit(handle)
            raise
        return handle

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            self._orchestrator.end_permit(handle)


def _nothing() -> Any:
    return None
