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
        lock: To be held around everything that changes the heap or a timeout's ``ended``; as a
            context manager only, though ``acquire`` and ``release`` would cost half as much. Ctrl-C
            between ``acquire`` and ``try`` would keep it for ever; the way into ``with`` has no such gap.
        bereaved: Timeouts whose owners are gone, still in the heap.
    """

    __slots__ = ("bereaved", "lock")

    def __init__(self) -> None:
        super().__init__()
        self._have_lock()
        self.bereaved: deque[Timeout] = deque()

    def _have_lock(self) -> None:
        # Taken again by the same thread when a finaliser, which may run anywhere, uses the timer.
        self.lock = threading.RLock()

    def forked(self) -> None:
        """Wait in a child process for no thread that only its parent has."""
        if self.lock.acquire(blocking=False):
            self.lock.release()
        else:
            self._have_lock()

    def bury(self) -> None:
        """Take out what belonged to owners that are gone; under the lock."""
        while self.bereaved:
            self.cancel(self.bereaved.popleft())
