"""Who is asking: the task, or the holder of permits, whose code runs now.

A task that holds something and waits for more can stop others for ever, so the
engine must know on whose behalf a coroutine asks. The holder travels in the context
and so reaches every coroutine that a task starts, directly or not. Each open permit
adds a link: what is held on behalf of a coroutine are the permits that enclose it, and
its task's own needs; not those that its siblings hold.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tenire.core.tasks import Task

if TYPE_CHECKING:
    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.core.fair_share import PipelineShare

__all__ = ["HOLDER", "Holder", "waits_with"]

HOLDER: ContextVar[Task | None] = ContextVar("tenire_holder", default=None)


class Holder(Task):
    """The code inside of one permit, in whatever task or coroutine it stands.

    Attributes:
        orchestrator: The engine that grants the permit.
        run: The asyncio task that asked for it.
        outer: The holder around it, of any engine, or ``None``.
    """

    __slots__ = ("_parent", "orchestrator", "outer", "run")

    def __init__(
        self, orchestrator: Orchestrator, pipeline: PipelineShare, name: str, priority: int, outer: Task | None
    ) -> None:
        self.orchestrator = orchestrator
        self.outer = outer
        while outer is not None and getattr(outer, "orchestrator", None) is not orchestrator:
            outer = getattr(outer, "outer", None)
        self._parent = outer
        if outer is not None:
            name, priority = outer.name, min(priority, outer.priority)
        super().__init__(pipeline, name, priority)
        self.run = asyncio.current_task()

    def records(self) -> list[Task]:
        """Return what encloses this code: its own permit, and what is held around it."""
        # A loop, not a recursion: coroutines that start one another may nest thousands deep.
        records: list[Task] = []
        holder: Task | None = self
        while isinstance(holder, Holder):
            records += holder.permits or ()
            holder = holder._parent  # noqa: SLF001 - of the same class
        return records if holder is None else records + holder.records()

    def root(self) -> Task:
        """Return the engine's task that it stands in, or the outermost holder."""
        holder: Task = self
        while isinstance(holder, Holder) and holder._parent is not None:  # noqa: SLF001 - of the same class
            holder = holder._parent  # noqa: SLF001 - as above
        return holder


def waits_with(main: Any, child: asyncio.Task[Any] | None, *, thoroughly: bool = False) -> bool:
    """Return whether a task's own coroutine cannot go on before another one has ended.

    Anything that is not recognised may end without it: then that one waits on its own
    account.

    Args:
        main: The asyncio task of the coroutine.
        child: The other one, which is about to wait; ``None`` if a thread is.
        thoroughly: Also look at those in between, which costs time linear in all tasks.
    """
    if child is None:
        return any(
            isinstance(free.get("source"), concurrent.futures.Future)
            for free in map(_free_variables, _callbacks(getattr(main, "_fut_waiter", None)))
        )
    if child is main or _awaits(main, child):
        return True
    if not thoroughly:
        return False
    tasks = asyncio.all_tasks()
    seen = {child}
    level = [child]
    while level:
        level = [task for task in tasks if task not in seen and any(_awaits(task, other) for other in level)]
        if main in level:
            return True
        seen.update(level)
    return False


def _awaits(task: Any, other: Any) -> bool:
    """Return whether a task awaits a future: itself, or by what ``asyncio`` has for several.

    Those are ``gather``, ``shield``, ``wait``, ``as_completed`` and ``TaskGroup``. What
    ends early by a time limit, or with the first of several, is none of them.
    """
    awaited = getattr(task, "_fut_waiter", None)
    if awaited is None:
        return False
    if awaited is other or other in getattr(awaited, "_children", ()):
        return True
    callbacks = _callbacks(other)
    for free in map(_free_variables, callbacks):
        outer = free.get("outer")  # of a shield, or a gather, in something else
        if outer is awaited or (outer is not None and _awaits(task, outer)) or _all_awaited(free, awaited):
            return True
    coroutine = task.get_coro()
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None and frame.f_code is _GROUP_EXIT:
            return other in frame.f_locals["self"]._tasks  # noqa: SLF001 - there is no other way to see it
        if frame is not None and (frame.f_code.co_name, frame.f_code.co_filename) == _NEXT_COMPLETED:
            return any(_is_next(frame.f_locals, callback) for callback in callbacks)
        coroutine = getattr(coroutine, "cr_await", None)
    return False


def _callbacks(future: Any) -> list[Any]:
    return [callback for callback, _ in getattr(future, "_callbacks", None) or ()]


def _free_variables(function: Any) -> dict[str, Any]:
    """Return what a function took with it from where it was defined."""
    cells = getattr(function, "__closure__", None) or ()
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    try:
        return {name: cell.cell_contents for name, cell in zip(names, cells, strict=True)}
    except ValueError:  # a cell that is empty: none of those that are looked for
        return {}


def _all_awaited(free: dict[str, Any], awaited: Any) -> bool:
    """Return whether a callback of ``wait`` completes what is awaited, and nothing else does."""
    every = free.get("return_when") == asyncio.ALL_COMPLETED or free.get("counter") == 1
    return free.get("waiter") is awaited and every and free.get("timeout_handle") is None


def _is_next(inside: dict[str, Any], callback: Any) -> bool:
    """Return whether a callback is of the ``as_completed`` that is awaited; since Python 3.13 it is an object."""
    owner: Any = inside.get("self")
    if owner is not None:
        return getattr(callback, "__self__", None) is owner and getattr(owner, "_timeout_handle", None) is None
    free = _free_variables(callback)
    return free.get("done") is inside.get("done", owner) is not None and free.get("timeout_handle") is None


_GROUP_EXIT = asyncio.TaskGroup.__aexit__.__code__
_NEXT_COMPLETED = ("_wait_for_one", asyncio.tasks.__file__)
