"""The byte budget of one engine: nothing large is read before there is room for it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tenire.core.admission import MEMORY
from tenire.core.tasks import Priority, Resources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tenire.concurrency.orchestrator import Orchestrator

__all__ = ["DataManager"]


class DataManager:
    """Lends bytes in flight, and knows the engine's home.

    Attributes:
        home: The home directory, or ``None`` for an engine without one.
    """

    def __init__(self, orchestrator: Orchestrator, home: Path | None) -> None:
        self._orchestrator = orchestrator
        self.home = home

    @property
    def capacity(self) -> int:
        """Bytes that may be in flight, all pipelines together."""
        return self._orchestrator.scheduler.admission.capacity[MEMORY]

    @property
    def free(self) -> int:
        """Bytes that are not lent now."""
        return self._orchestrator.scheduler.admission.free[MEMORY]

    @asynccontextmanager
    async def credit(
        self, size: int, *, pipeline: str = "default", priority: Priority = Priority.NORMAL, name: str = "bytes"
    ) -> AsyncIterator[int]:
        """Hold ``size`` bytes of the budget while open; waits its turn.

        More than the whole budget is cut down to the budget: such an item goes
        alone rather than never.

        Yields:
            The bytes that are held.
        """
        held = min(size, self.capacity)
        # Detached: bytes travel with an item from coroutine to coroutine, and whoever
        # holds them gives them back without asking for more.
        permit = self._orchestrator.permit(
            Resources(memory=held), pipeline=pipeline, priority=priority, name=name, detached=True
        )
        async with permit:
            yield held
