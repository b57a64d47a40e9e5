"""A step that must not be left half done, however often its caller is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context

__all__ = ["unbroken"]

T = TypeVar("T")


async def unbroken(
    step: Coroutine[Any, Any, T], *, context: Context | None = None, hurry: Callable[[], object] = lambda: None
) -> T:
    """Run a step to its end; a cancellation that comes meanwhile is raised after it.

    The step must end by itself: nothing from outside can end it any more.

    Args:
        step: The step.
        context: In which it runs; default: a copy of the caller's.
        hurry: Called each time that the caller is cancelled.
    """
    task = asyncio.get_running_loop().create_task(step, context=context)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
            hurry()
    if cancelled is None:
        return task.result()
    # Looked at, or the step's own error would be lost beside the cancellation.
    raise cancelled from (None if task.cancelled() else task.exception())
