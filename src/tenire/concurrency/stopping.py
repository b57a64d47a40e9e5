"""How a task that runs is ended from outside: at its deadline, or because it was cancelled."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from tenire.concurrency.endings import missed_deadline
from tenire.concurrency.handle import LOOP, PERMIT
from tenire.core.tasks import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.clock import Clock
    from tenire.concurrency.handle import Handle
    from tenire.concurrency.pools import ThreadPoolManager
    from tenire.concurrency.timer import UniversalTimer
    from tenire.core.scheduler import Scheduler

__all__ = ["CANCELLED_EARLY", "Stopper"]

CANCELLED_EARLY = object()
"""Stands where a coroutine's asyncio task will be, if it was cancelled before there is one."""

_LAST_WORD_S = 1.0
"""What a coroutine gets to clean up after it was cancelled at its deadline."""


class Stopper:
    """Ends running tasks.

    A coroutine is cancelled and ends by itself. A thread or a process is abandoned:
    the task counts as ended at once, and what it holds comes back when its function
    has returned, or its process is gone.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        pools: ThreadPoolManager,
        timer: UniversalTimer,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._scheduler = scheduler
        self._pools = pools
        self._timer = timer
        self._clock = clock
        self._wake = wake

    def at_deadline(self, handle: Handle[Any], reason: str) -> None:
        """End a task that runs at its deadline."""
        if handle.done():
            return
        handle.stop_reason = reason
        if handle.on == LOOP:
            if handle.run is not None:
                handle.run.cancel()
                self._timer.after(_LAST_WORD_S, lambda: self._give_up(handle))
        else:
            self._abandon(handle, missed_deadline(handle, reason))

    def cancel(self, handle: Handle[Any]) -> None:
        """Cancel a task that runs."""
        if handle.on not in (LOOP, PERMIT):
            self._abandon(handle, CancelledError())
        elif handle.run is None:
            # Its turn to start is in this very turn of the loop, or it is in its first step.
            handle.run = CANCELLED_EARLY
        elif handle.run is not CANCELLED_EARLY:
            handle.run.cancel()

    def _give_up(self, handle: Handle[Any]) -> None:
        """End a coroutine that goes on though it was cancelled at its deadline."""
        if not handle.done():
            self._abandon(handle, missed_deadline(handle, handle.stop_reason or "it went on after its deadline"))

    def _abandon(self, handle: Handle[Any], error: BaseException) -> None:
        state = State.CANCELLED if isinstance(error, CancelledError) else State.FAILED
        handle.settle(None, error)
        self._scheduler.abandon(handle, self._clock.now(), state)
        self._pools.stop(handle)
        self._wake()
