"""Hands on what tasks find out, to one who looks at it at leisure."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from tenire.errors import TenireError
from tenire.resilience.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from typing import Any

__all__ = ["Stream", "first_error"]

T = TypeVar("T")


class Stream(Generic[T]):
    """Items of which only some wait to be looked at; whoever puts more waits.

    Args:
        room: Items that may wait.
    """

    def __init__(self, room: int) -> None:
        self._items: deque[T] = deque()
        self._room = asyncio.Semaphore(room)
        self._changed = asyncio.Event()

    async def put(self, item: T) -> None:
        """Add an item, once there is room."""
        await self._room.acquire()
        self._items.append(item)
        self._changed.set()

    async def of(self, work: Coroutine[Any, Any, None]) -> AsyncIterator[T]:
        """Yield the items that some work puts, and at its end raise what it raised.

        Leaving early cancels the work, and waits until it has ended.
        """
        working = asyncio.create_task(work, name="batches")
        working.add_done_callback(lambda _: self._changed.set())
        try:
            while True:
                while self._items:
                    self._room.release()
                    yield self._items.popleft()
                if working.done():
                    break
                self._changed.clear()
                await self._changed.wait()
            working.result()
        finally:
            await end((working,))


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that says most of those in a group: one of ours before others."""
    errors: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending += error.exceptions
        else:
            errors.append(error)
    return next((error for error in errors if isinstance(error, TenireError)), errors[0])
