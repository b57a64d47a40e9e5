"""How a task that runs is ended from outside: at its deadline or timeout, or because it was cancelled."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from tenire.concurrency.endings import missed_deadline, took_too_long
from tenire.concurrency.handle import LOOP, PERMIT, THREAD
from tenire.core.tasks import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.clock import Clock
    from tenire.concurrency.ended_tasks import EndedTasks
    from tenire.concurrency.handle import Handle
    from tenire.concurrency.pools import ThreadPoolManager
    from tenire.concurrency.timer import Timeout, UniversalTimer
    from tenire.concurrency.unseen import UnseenFailures
    from tenire.core.scheduler import Scheduler

__all__ = ["CANCELLED_EARLY", "Stopper"]

CANCELLED_EARLY = object()
"""Stands where a coroutine's asyncio task will be, if it was cancelled before there is one."""

_NEARLY_DONE_S = 0.25
"""What a process gets to end by itself after its task's deadline: to start a new one would
take as long. Under overload every task runs close to its deadline, and some a little
longer; each that is killed would slow down others, until most miss theirs."""

_LAST_WORD_S = 1.0
"""What a coroutine gets to clean up after it was cancelled at its deadline or timeout."""


class Stopper:
    """Ends running tasks.

    A coroutine is cancelled and ends by itself. A thread or a process is abandoned:
    the task counts as ended at once, and what it holds comes back when its function
    has returned, or its process is gone. A process is killed, a moment later if its
    task ran at its deadline. At a timeout it is killed first, so that the task may be
    tried again.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        ended: EndedTasks,
        pools: ThreadPoolManager,
        timer: UniversalTimer,
        clock: Clock,
        unseen: UnseenFailures,
        wake: Callable[[], None],
    ) -> None:
        self._scheduler = scheduler
        self._ended = ended
        self._pools = pools
        self._timer = timer
        self._clock = clock
        self._unseen = unseen
        self._wake = wake
        self._timeouts: dict[Handle[Any], Timeout] = {}

    def begun(self, handle: Handle[Any]) -> None:
        """Watch a task that has a timeout; one try of it begins."""
        assert handle.timeout is not None
        self._look_at(handle, self._clock.now() + handle.timeout)

    def ended(self, handle: Handle[Any]) -> None:
        """Stop watching it; that try has ended."""
        timeout = self._timeouts.pop(handle, None)
        if timeout is not None:
            timeout.cancel()

    def at_deadline(self, handle: Handle[Any], reason: str) -> None:
        """End a task that runs at its deadline."""
        if handle.done():
            return
        handle.retry = None  # there is no time left for another try
        handle.stop_error = missed_deadline(handle, reason)
        if handle.on == LOOP:
            self._cancel_coroutine(handle)
        else:
            self._abandon(handle, handle.stop_error, patience=_NEARLY_DONE_S)

    def cancel(self, handle: Handle[Any]) -> bool:
        """Cancel a task that runs; return whether that is not too late."""
        handle.retry = None  # not even if it raises something else now
        if handle.on not in (LOOP, PERMIT):
            self._abandon(handle, CancelledError())
        elif handle.run is None:
            # Its turn to start is in this very turn of the loop, or it is in its first step.
            handle.run = CANCELLED_EARLY
        elif handle.run is not CANCELLED_EARLY:
            return handle.run.cancel()  # type: ignore[no-any-return]  # an asyncio task
        return True

    def _look_at(self, handle: Handle[Any], when: float) -> None:
        self._timeouts[handle] = self._timer.at(when, lambda: self._at_timeout(handle))

    def _at_timeout(self, handle: Handle[Any]) -> None:
        del self._timeouts[handle]
        if handle.done():
            return
        assert handle.timeout is not None
        if handle.on not in (LOOP, THREAD):
            since = self._pools.running_since(handle)
            # A worker that was starting, or had something else to do, began with it later.
            due = self._clock.now() if since is None else since
            if since is None or due + handle.timeout > self._clock.now():
                self._look_at(handle, due + handle.timeout)
                return
        handle.stop_error = took_too_long(handle)
        if handle.on == LOOP:
            self._cancel_coroutine(handle)
        elif handle.on == THREAD:
            self._abandon(handle, handle.stop_error)
        else:
            self._pools.stop(handle)

    def _cancel_coroutine(self, handle: Handle[Any]) -> None:
        task = handle.run
        if task is not None:
            task.cancel()
            self._timer.after(_LAST_WORD_S, lambda: self._give_up(handle, task))

    def _give_up(self, handle: Handle[Any], task: object) -> None:
        """End a coroutine that goes on though it was cancelled; not its next try."""
        if handle.run is task and not handle.done():
            assert handle.stop_error is not None
            self._abandon(handle, handle.stop_error)

    def _abandon(self, handle: Handle[Any], error: BaseException, *, patience: float = 0.0) -> None:
        state = State.CANCELLED if isinstance(error, CancelledError) else State.FAILED
        handle.settle(None, error)
        if state == State.FAILED:
            self._unseen.add(handle)
        now = self._clock.now()
        self._scheduler.abandon(handle, now, state)
        self._ended.note(handle, state, now)
        if patience and handle.on != THREAD:
            self._timer.after(patience, lambda: self._pools.stop(handle))
        else:
            self._pools.stop(handle)
        self._wake()
