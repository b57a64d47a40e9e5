"""Waiting for locks and threads: so that Ctrl-C ends it, or without blocking a loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable, Iterable

__all__ = ["LAST_WORD_S", "acquire", "in_slices", "on_a_loop", "until_gone", "wait_set"]

_SLICE_S = 0.2
"""How long Ctrl-C may take to reach the main thread while that waits for a lock.

A signal does not wake it where another thread gets the signal, where it comes just
before the wait begins, and on Windows."""
_LOOK_S = 0.001

LAST_WORD_S = 0.5
"""What a thread gets that has only to return."""


def on_a_loop() -> bool:
    """Return whether this thread runs a loop now, which must not be blocked."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def in_slices(wait: Callable[[float | None], bool], timeout: float | None) -> bool:
    """Wait; on the main thread in slices, between which it takes in signals.

    Args:
        wait: Waits for so many seconds, ``None`` for ever, and returns whether what it waits for came.
        timeout: Seconds at the most; ``None`` waits for ever.
    """
    # Longer than a lock can be waited for, infinity among it, is for ever.
    left = None if timeout is not None and timeout > threading.TIMEOUT_MAX else timeout
    if threading.get_ident() == threading.main_thread().ident:
        while left is None or left > _SLICE_S:
            if wait(_SLICE_S):
                return True
            left = None if left is None else left - _SLICE_S
    return wait(left)


def acquire(lock: LockType, timeout: float | None) -> bool:
    """Acquire a lock; return whether it worked in time.

    Args:
        lock: The lock.
        timeout: Seconds at the most; ``None`` waits for ever.
    """
    return in_slices(lambda left: lock.acquire(timeout=-1 if left is None else max(0.0, left)), timeout)


def wait_set(event: threading.Event, timeout: float | None = None) -> bool:
    """Wait until an event is set; return whether it is.

    Args:
        event: The event.
        timeout: Seconds at the most; ``None`` waits for ever.
    """
    return in_slices(event.wait, timeout)


async def until_gone(threads: Iterable[threading.Thread], seconds: float = LAST_WORD_S) -> list[threading.Thread]:
    """Wait for threads that are about to end, without blocking the loop.

    Args:
        threads: The threads.
        seconds: To wait at the most, for all of them. Those that have nothing left to do
            but to return take a millisecond.

    Returns:
        Those that are still there.
    """
    left = list(threads)
    for _ in range(round(seconds / _LOOK_S)):
        if not any(thread.is_alive() for thread in left):
            break
        await asyncio.sleep(_LOOK_S)
    return [thread for thread in left if thread.is_alive()]
