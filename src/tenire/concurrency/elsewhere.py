"""Waiting for a task where its loop is not: on another thread, or on another loop."""

from __future__ import annotations

import contextlib
import threading
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from tenire.concurrency.holding import HOLDER
from tenire.concurrency.waiting import wait_set
from tenire.errors import RejectedError, TaskError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Generator

    from tenire.concurrency.handle import Handle

__all__ = ["await_elsewhere", "settle_unended", "wait_on_thread"]

_LOOK_S, _SELDOM_S = 0.25, 4.0
"""How often a thread of nobody's looks whether a task waits for it: at first, and in the end."""


def settle_unended(handle: Handle[Any]) -> None:
    """Settle a task that nobody will ever end; from any thread."""
    if not handle.settled:
        # Those are the affair of the loop, which calls nothing any more.
        handle.waiter = handle.callbacks = None
        why = handle.orchestrator.gone or "cannot end any more: its loop is closed"
        handle.settle(None, RejectedError(f"task {handle.name!r} {why}"))


def _end_waiting(handle: Handle[Any]) -> None:
    """Take in that nobody waits for a task any more, whether it has ended or not."""
    orchestrator = handle.orchestrator
    if orchestrator.given_up and not orchestrator.gone and not handle.settled:
        message = f"task {handle.name!r} {orchestrator.given_up}"
        raise RejectedError(message)
    settle_unended(handle)


def wait_on_thread(handle: Handle[Any], timeout: float | None) -> None:
    """Block the calling thread until a task has ended.

    Args:
        handle: The task.
        timeout: Seconds to wait at the most; ``None`` waits for ever.

    Raises:
        RuntimeError: On the thread of the task's own loop.
        RejectedError: If that loop stands still and was given up.
        TaskError: If the caller is a task for which the other one waits.
        TimeoutError: If it has not ended in time.
    """
    orchestrator = handle.orchestrator
    if not orchestrator.reachable():
        settle_unended(handle)
        return
    if orchestrator.on_own_thread():
        message = "Handle.result() would block the loop that runs the task; use `await handle` here"
        raise RuntimeError(message)
    ended = threading.Event()
    refused: list[BaseException] = []
    holder = HOLDER.get()

    def wake(_: Handle[Any] | None = None) -> None:
        ended.set()

    def begin() -> None:
        if holder is not None and not handle.settled:
            try:
                orchestrator.begin_wait(holder, handle)
            except TaskError as error:
                refused.append(error)
                ended.set()
                return
        handle.call_back(wake)

    def begin_late() -> None:
        if holder is not None and not handle.settled:
            try:
                orchestrator.begin_wait(holder, handle, itself=True)
            except TaskError as error:
                handle.call_back_no_more(wake)
                refused.append(error)
                ended.set()

    in_time = False
    orchestrator.waiting_elsewhere.add(wake)  # before the loop is asked: it may end without coming to that
    try:
        if orchestrator.given_up or not orchestrator.on_loop(begin):
            ended.set()
        pause = _LOOK_S
        while holder is None and timeout is None and not in_time:
            in_time = wait_set(ended, pause)
            pause = min(2 * pause, _SELDOM_S)
            holder = None if in_time else orchestrator.holder_of_thread()
            if holder is not None:
                orchestrator.on_loop(begin_late)
        in_time = in_time or wait_set(ended, timeout)
    finally:
        orchestrator.waiting_elsewhere.discard(wake)
        if not in_time:  # or each look at a long task would leave one
            orchestrator.on_loop(handle.call_back_no_more, wake)
        if holder is not None:
            orchestrator.on_loop(orchestrator.end_wait, holder, handle)
    if not in_time:
        message = f"task {handle.name!r} has not ended within {timeout} s (it goes on)"
        raise TimeoutError(message)
    if refused:
        raise refused.pop()
    _end_waiting(handle)


def await_elsewhere(handle: Handle[Any], loop: asyncio.AbstractEventLoop) -> Generator[Any, None, None]:
    """Wait on another loop until a task has ended; whoever is cancelled meanwhile cancels it."""
    ended = loop.create_future()

    def set_ended() -> None:
        if not ended.done():
            ended.set_result(None)

    def wake(_: Handle[Any] | None = None) -> None:
        with contextlib.suppress(RuntimeError):  # that loop is closed, and whoever waited gone with it
            loop.call_soon_threadsafe(set_ended)

    orchestrator = handle.orchestrator
    orchestrator.waiting_elsewhere.add(wake)
    try:
        if orchestrator.reachable() and not orchestrator.given_up and orchestrator.on_loop(handle.call_back, wake):
            yield from ended
    except CancelledError:
        handle.cancel()
        raise
    finally:
        orchestrator.waiting_elsewhere.discard(wake)
    _end_waiting(handle)
