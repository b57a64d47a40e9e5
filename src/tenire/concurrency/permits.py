"""Permits: resources that a running coroutine holds for a while."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from tenire.concurrency.handle import PERMIT, Handle
from tenire.concurrency.submit import priority_of
from tenire.core.tasks import RUNNING

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
        scheduler = orchestrator.scheduler
        self._handle: Handle[None] = Handle(
            scheduler.shares.pipeline(pipeline),
            name,
            priority_of(priority),
            scheduler.needs(needs, task=name),
            None if deadline is None else orchestrator.due(deadline, name=name),
            _nothing,
            (),
            PERMIT,
            None,
            None,
            None,
            orchestrator,
        )

    async def __aenter__(self) -> Handle[None]:
        handle = self._handle
        self._orchestrator.accept(handle)
        try:
            await handle
        except CancelledError:
            # Granted and cancelled in the same turn of the loop: what was granted
            # must not be lost with the one who waited for it.
            if handle.state == RUNNING:
                self._orchestrator.end_permit(handle)
            raise
        return handle

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._orchestrator.end_permit(self._handle)


def _nothing() -> Any:
    return None
