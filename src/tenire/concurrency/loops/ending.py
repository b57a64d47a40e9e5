"""How tasks are brought to an end that nobody else ends: cancel, wait, cancel again, give up by name."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import TYPE_CHECKING, Any

from tenire.concurrency.loops.tracking import stack_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["end_tasks", "give_up"]

_PARTS = (0.5, 0.25, 0.25)
"""Of the grace, what is waited after each time that a task is cancelled."""

_log = logging.getLogger("tenire.loops")
_given_up: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()


async def end_tasks(
    find: Callable[[], Iterable[asyncio.Task[Any]]], *, grace: float, cancel: Callable[[asyncio.Task[Any]], object]
) -> list[asyncio.Task[Any]]:
    """Cancel tasks until there are none, or the time is up.

    A task may swallow one cancellation, and may start others while it ends, so each
    time they are looked for anew and cancelled once more.

    Args:
        find: Returns the tasks to end, done ones too; the one that calls is left out.
        grace: Seconds that all of it may take.
        cancel: Cancels one.

    Returns:
        Those that went on all the same.
    """
    observed: set[asyncio.Task[Any]] = set()
    for part in _PARTS:
        pending = _pending(find)
        if not pending:
            return []
        for task in pending:
            if task not in observed:
                observed.add(task)
                task.add_done_callback(_observe)
            cancel(task)
        await asyncio.wait(pending, timeout=grace * part)
    return _pending(find)


def _pending(find: Callable[[], Iterable[asyncio.Task[Any]]]) -> list[asyncio.Task[Any]]:
    this = asyncio.current_task()
    return [task for task in find() if not task.done() and task is not this]


def _observe(task: asyncio.Task[Any]) -> None:
    """Take in an error that nobody else may ever look at."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("task %r failed while it was cancelled: %s: %s", task.get_name(), type(error).__name__, error)


def give_up(task: asyncio.Task[Any]) -> None:
    """Name a task that does not end, and where it stands; does nothing if that was done before.

    Whoever closes a part of an engine gives up that part's tasks. The loop that ends after it finds them again.
    """
    if task in _given_up:
        return
    _given_up.add(task)
    _log.warning(
        "task %r goes on though it was cancelled; given up. It stands at:\n  %s",
        task.get_name(),
        "\n  ".join(stack_of(task)) or "(unknown)",
    )
    # It has been told of: asyncio would tell again when the loop is gone.
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
