"""Batches of one run, on their way from the source to their commit side by side.

1. A batch starts once it has its room; what has room and never started gives it back.
2. The first failure ends all of them, and is the one that is told: the others are its
   echo in other batches.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tenire.pipeline.waits import first

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from tenire.pipeline.room import Room

__all__ = ["Flow", "flowing"]


class Flow:
    """What is under way; see ``flowing``."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._batches: set[asyncio.Task[None]] = set()

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what takes batches on; it has to end by itself once all of them are through."""
        self._tasks.create_task(work)

    def start(self, batch: Coroutine[Any, Any, None]) -> None:
        """Let a batch go its way."""
        task = self._tasks.create_task(batch)
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)

    async def drained(self) -> None:
        """Wait until all batches that were started are through."""
        if self._batches:
            await asyncio.wait(self._batches)


@asynccontextmanager
async def flowing(room: Room) -> AsyncIterator[Flow]:
    """Let batches flow within the block, and give all room back at its end.

    Raises:
        BaseException: The first that a batch, what is beside them, or the block raised.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            yield Flow(tasks)
    except BaseExceptionGroup as group:
        raise first(group) from None
    finally:
        await room.aclose()
