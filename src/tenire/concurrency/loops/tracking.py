"""The tasks of one loop: who started each, since when, what it waits for.

Whoever starts a task leaves its mark in the context, which every task started from
there inherits. So nothing has to be noted when a task is made, and a task that a task
of the engine started is known for what it is, however deep.
"""

from __future__ import annotations

import contextvars
import gc
import sys
import traceback
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tenire.concurrency.handle import Handle
from tenire.concurrency.holding import HOLDER, Holder

if TYPE_CHECKING:
    import asyncio

    from tenire.concurrency.loops.requests import Request

__all__ = ["STARTED_BY", "TrackedTask", "origin_of", "stack_of", "state_of"]

STARTED_BY: ContextVar[Request | None] = ContextVar("tenire_started_by", default=None)
"""The call from another thread that this code runs for."""

_DEEPEST = 200
_HERE = (lambda: None).__code__.co_filename


@dataclass(frozen=True, slots=True)
class TrackedTask:
    """One asyncio task, at one moment.

    Attributes:
        name: Its name.
        owner: The name of the task or call that it is or was started by; ``None``: the program's own.
        age: Seconds since it, or whatever started it, began; ``None`` if that is not known.
        state: ``running`` (its code runs now), ``ready`` (for its turn), ``waiting``,
            or ``cancelling`` (it was cancelled and goes on).
        orphan: Whether whatever started it has ended.
        task: The task itself.
    """

    name: str
    owner: str | None
    age: float | None
    state: str
    orphan: bool
    task: asyncio.Task[Any]

    def stack(self) -> list[str]:
        """Return where it stands now, innermost last, one line a call; of one that runs, what it is at just then."""
        return stack_of(self.task)

    def __str__(self) -> str:
        owner = f"of {self.owner!r}" if self.owner is not None else "of the program"
        age = f"{self.age:.1f} s" if self.age is not None else "unknown"
        return f"task {self.name!r} {owner}: {self.state}{', orphan' if self.orphan else ''}, age {age}"


def origin_of(task: asyncio.Task[Any]) -> Handle[Any] | Request | None:
    """Return the engine's task, or the call from another thread, that a task was started by or is."""
    context = _context_of(task)
    if context is None:
        return None
    call = context.get(STARTED_BY)
    asked_by = call.holder if call is not None else None
    holder = context.get(HOLDER)
    # A call carries the context of whoever made it. What it found there is further out.
    while holder is not None and holder is not asked_by:
        if isinstance(holder, Handle):
            return holder
        holder = holder.outer if isinstance(holder, Holder) else None
    return call


def _context_of(task: asyncio.Task[Any]) -> contextvars.Context | None:
    if sys.version_info >= (3, 12):
        return task.get_context()
    # 3.11 keeps it to itself, but shows it to the collector, before anything else that it holds.
    return next((thing for thing in gc.get_referents(task) if isinstance(thing, contextvars.Context)), None)


def state_of(task: asyncio.Task[Any], current: asyncio.Task[Any] | None) -> str:
    """Return what a task does now, in one word; see ``TrackedTask``."""
    if task is current:
        return "running"
    if task.cancelling():
        return "cancelling"
    return "waiting" if getattr(task, "_fut_waiter", None) is not None else "ready"


def stack_of(task: asyncio.Task[Any]) -> list[str]:
    """Return where a task stands, innermost last, one line for each call.

    ``Task.get_stack`` knows the outermost coroutine only, as long as the task waits.
    """
    lines: list[str] = []
    inner: Any = task.get_coro()
    while inner is not None and len(lines) < _DEEPEST:
        frame = _first(inner, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None:
            # One that runs does not say whom it awaits, nor what it calls. The thread that runs it does.
            if _first(inner, "cr_running", "gi_running", "ag_running") and (running := _running_in(frame)):
                return lines + running
            lines.append(_line(frame, frame.f_lineno))
        inner = _first(inner, "cr_await", "gi_yieldfrom", "ag_await")
    return lines


def _running_in(outermost: Any) -> list[str]:
    """Return where the thread that runs a frame stands, from that frame on; empty if it does not run now."""
    for innermost in sys._current_frames().values():  # noqa: SLF001 - the documented way to look at other threads
        places: list[tuple[Any, int]] = []
        for place, number in traceback.walk_stack(innermost):
            if place.f_code.co_filename != _HERE:  # of one that looks at itself
                places.append((place, number))
            if place is outermost:
                return [_line(*each) for each in places[_DEEPEST::-1]]
    return []


def _first(thing: Any, *names: str) -> Any:
    return next((value for name in names if (value := getattr(thing, name, None)) is not None), None)


def _line(frame: Any, number: int | None) -> str:
    code = frame.f_code
    return f"{code.co_filename}:{number or code.co_firstlineno} in {code.co_qualname}"


def thread_stack(ident: int) -> list[str]:
    """Return where a thread stands, innermost last, one line for each call; empty if it is gone."""
    frame = sys._current_frames().get(ident)  # noqa: SLF001 - the documented way to look at another thread
    if frame is None:
        return []
    return [_line(place, number) for place, number in list(traceback.walk_stack(frame))[_DEEPEST::-1]]
