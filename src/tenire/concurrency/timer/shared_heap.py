"""The heap of a timer, which all threads use."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from tenire.core.deadlines import DeadlineHeap

if TYPE_CHECKING:
    from tenire.concurrency.timer.timeout import Timeout

__all__ = ["SharedHeap"]


class SharedHeap(DeadlineHeap[Any]):
    """A heap of timeouts, with its lock and the timeouts that have lost their owners.

    Attributes:
        lock: To be held around everything that changes the heap or a timeout's ``ended``.
        acquire: The lock's. As a context manager a lock costs twice as much, which
            matters where timeouts are added and cancelled.
        release: The lock's.
        bereaved: Timeouts whose owners are gone, still in the heap.
    """

    __slots__ = ("acquire", "bereaved", "lock", "release")

    def __init__(self) -> None:
        super().__init__()
        self._have_lock()
        self.bereaved: deque[Timeout] = deque()

    def _have_lock(self) -> None:
        # Taken again by the same thread when a finaliser, which may run anywhere, uses the timer.
        self.lock = threading.RLock()
        self.acquire, self.release = self.lock.acquire, self.lock.release

    def forked(self) -> None:
        """Wait in a child process for no thread that only its parent has."""
        if self.acquire(blocking=False):
            self.release()
        else:
            self._have_lock()

    def bury(self) -> None:
        """Take out what belonged to owners that are gone; under the lock."""
        while self.bereaved:
            self.cancel(self.bereaved.popleft())
