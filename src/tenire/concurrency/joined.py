"""Which task cannot go on before a thread has ended that it started by itself.

Such a thread knows nothing of the task: before Python 3.14 ``threading.Thread`` copies no
context, and executors never do. But who waits for it can be seen. A thread that stands in
``join`` of another, or in ``result`` of what that one runs, and without a time limit,
stands there until the other is through; so does whoever waits for that thread in turn.
Nothing else is taken for such a wait, so nobody is said to wait who does not.
"""

from __future__ import annotations

import concurrent.futures.thread
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from tenire.concurrency.handle import Handle

__all__ = ["task_that_waits_for_me"]

_JOIN = threading.Thread.join.__code__
_RESULT = concurrent.futures.Future.result.__code__
_WORK: Any = concurrent.futures.thread._WorkItem.run.__code__  # noqa: SLF001 - there is no other way to see it


def task_that_waits_for_me(tasks: Mapping[int | None, Handle[Any]]) -> Handle[Any] | None:
    """Return the task whose thread waits for the calling one, directly or through others, or ``None``.

    Args:
        tasks: What runs on the engine's threads, by their identifiers.
    """
    frames = sys._current_frames()  # noqa: SLF001 - the documented way to look at other threads
    try:
        reached = {threading.get_ident()}
        fresh = set(reached)
        while fresh:
            # What these threads have to end, or to set, for others to go on.
            targets = {target for ident in fresh for target in _ends(frames[ident], ident)}
            fresh = {ident for ident in frames.keys() - reached if _awaited(frames[ident]) in targets}
            for ident in fresh:
                if ident in tasks:
                    return tasks[ident]
            reached |= fresh
        return None
    finally:
        frames.clear()  # one of them is ours, and would keep itself alive


def _ends(frame: FrameType, ident: int) -> Iterator[Any]:
    """Yield what ends with a thread: its own number, and the futures of what it runs."""
    yield ident
    for each in _stack(frame):
        if each.f_code is _WORK:
            yield each.f_locals["self"].future


def _awaited(frame: FrameType) -> Any:
    """Return what a thread waits for: the number of a thread, a future, or ``None``."""
    for each in _stack(frame):
        if each.f_code in (_JOIN, _RESULT):
            inside = each.f_locals
            if inside.get("timeout") is not None:
                return None
            return inside["self"].ident if each.f_code is _JOIN else inside["self"]
    return None


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
