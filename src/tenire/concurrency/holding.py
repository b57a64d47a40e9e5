"""Who is asking: the task, or the holder of permits, whose code runs now.

A task that holds something and waits for more can stop others for ever, so the
engine must know on whose behalf a coroutine asks. The holder travels in the context
and so reaches every coroutine that a task starts, directly or not.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tenire.core.tasks import Task

if TYPE_CHECKING:
    from tenire.core.fair_share import PipelineShare

__all__ = ["HOLDER", "Holder", "waits_with"]

HOLDER: ContextVar[Task | None] = ContextVar("tenire_holder", default=None)


class Holder(Task):
    """A coroutine that is no task of the engine but holds permits.

    Attributes:
        run: Its asyncio task.
    """

    __slots__ = ("run",)

    def __init__(self, pipeline: PipelineShare, name: str, priority: int) -> None:
        super().__init__(pipeline, name, priority)
        self.run = asyncio.current_task()


def waits_with(main: Any, child: asyncio.Task[Any] | None) -> bool:
    """Return whether a task's own coroutine cannot go on before a child of it has ended.

    It awaits the child itself, a ``gather`` of it, or a ``TaskGroup`` that holds it.
    Anything else may end without the child: then the child waits on its own account.
    """
    if child is main:
        return True
    awaited = getattr(main, "_fut_waiter", None)
    if awaited is None or child is None:
        return False
    if awaited is child or child in getattr(awaited, "_children", ()):
        return True
    coroutine = main.get_coro()
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None and frame.f_code is _GROUP_EXIT:
            return child in frame.f_locals["self"]._tasks  # noqa: SLF001 - there is no other way to see it
        coroutine = getattr(coroutine, "cr_await", None)
    return False


_GROUP_EXIT = asyncio.TaskGroup.__aexit__.__code__
