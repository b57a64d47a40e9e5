"""Ending tasks of one's own without leaving any behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["end"]


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until they have really ended; what they raise is dropped.

    Who is cancelled meanwhile goes on waiting, hands the cancellation on to the tasks,
    and is cancelled afterwards.
    """
    left = [task for task in tasks if not task.done()]
    cancelled: asyncio.CancelledError | None = None
    for task in left:
        task.cancel()
    while left:
        try:
            _, pending = await asyncio.wait(left)
        except asyncio.CancelledError as error:
            cancelled = error
            for task in left:
                task.cancel()
            pending = set(left)
        left = [task for task in pending if not task.done()]
    for task in tasks:
        if not task.cancelled():
            task.exception()  # so that nobody misses it
    if cancelled is not None:
        raise cancelled
