"""Waiting for locks and threads: so that Ctrl-C ends it, or without blocking a loop."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from _thread import LockType
    from collections.abc import Sequence

__all__ = ["acquire", "until_gone", "wait_set"]

_SLICE_S = 0.2
"""How long Windows may keep Ctrl-C from the thread that waits: there a signal does not
wake who waits for a lock."""
_LOOK_S = 0.001


def acquire(lock: LockType, timeout: float | None) -> bool:
    """Acquire a lock; return whether it worked in time.

    Args:
        lock: The lock.
        timeout: Seconds at the most; ``None`` waits for ever.
    """
    if sys.platform != "win32":
        return lock.acquire() if timeout is None else lock.acquire(timeout=max(0.0, timeout))
    left = timeout
    while left is None or left > _SLICE_S:
        if lock.acquire(timeout=_SLICE_S):
            return True
        left = None if left is None else left - _SLICE_S
    return lock.acquire(timeout=max(0.0, left))


def wait_set(event: threading.Event, timeout: float | None = None) -> bool:
    """Wait until an event is set; return whether it is.

    Args:
        event: The event.
        timeout: Seconds at the most; ``None`` waits for ever.
    """
    left = timeout
    while sys.platform == "win32" and (left is None or left > _SLICE_S):
        if event.wait(_SLICE_S):
            return True
        left = None if left is None else left - _SLICE_S
    return event.wait(left)


async def until_gone(threads: Sequence[threading.Thread], seconds: float) -> list[threading.Thread]:
    """Wait for threads that are about to end, without blocking the loop.

    Args:
        threads: The threads.
        seconds: To wait at the most, for all of them.

    Returns:
        Those that are still there.
    """
    for _ in range(round(seconds / _LOOK_S)):
        if not any(thread.is_alive() for thread in threads):
            break
        await asyncio.sleep(_LOOK_S)
    return [thread for thread in threads if thread.is_alive()]
