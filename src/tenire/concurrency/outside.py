"""What a running task waits for that was not asked for on its behalf, so that ``explain`` can tell it.

That is what the engine does not lend, or what somebody else has asked for: a permit for what many use.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tenire.concurrency.holding import HOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tenire.core.explain import Gate
    from tenire.core.tasks import Task

__all__ = ["outside_wait", "waits_outside"]

_waits: dict[Task, list[Callable[[], Gate | Task | None]]] = {}
_lock = threading.Lock()


@contextmanager
def waits_outside(tell: Callable[[], Gate | Task | None]) -> Iterator[None]:
    """Note, while the block runs, what the task that runs here waits for; nothing outside of one.

    Args:
        tell: Returns what it is, or the permit that somebody else waits for; called from the engine's loop, so
            it must not block.
    """
    holder = HOLDER.get()
    if holder is None:
        yield
        return
    task = holder.root()
    with _lock:
        _waits.setdefault(task, []).append(tell)
    try:
        yield
    finally:
        with _lock:
            told = _waits[task]
            told.remove(tell)
            if not told:
                del _waits[task]


def outside_wait(task: Task) -> Gate | Task | None:
    """Return what a task waits for longest of all that it waits for, or ``None``."""
    with _lock:
        told = _waits.get(task)
        tell = told[0] if told else None
    return None if tell is None else tell()
