"""The owner of the engine's event loop: adopted, or run in a thread of its own.

::

    NEW ──► RUNNING ──► DRAINING ──► CLOSED        (never back)

1. From DRAINING on, calls from other threads are refused at once.
2. When CLOSED, no future that another thread waits for is left pending.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from tenire.errors import InternalError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["EventLoopManager", "LoopState"]

T = TypeVar("T")


class LoopState(IntEnum):
    """Where a loop is in its life."""

    NEW = 0
    RUNNING = 1
    DRAINING = 2
    CLOSED = 3


class EventLoopManager:
    """Owns one loop and is the way into it from other threads.

    Attributes:
        state: See ``LoopState``.
    """

    def __init__(self) -> None:
        self.state = LoopState.NEW
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._tasks: dict[asyncio.Task[Any], concurrent.futures.Future[Any]] = {}

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop.

        Raises:
            InternalError: If there is none yet.
        """
        if self._loop is None:
            message = "the engine has no loop yet: enter it with `async with` or `in_thread()` first"
            raise InternalError(message)
        return self._loop

    def adopt(self) -> asyncio.AbstractEventLoop:
        """Take the running loop of this thread as the engine's."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.state = LoopState.RUNNING
        return self._loop

    def on_thread(self) -> bool:
        """Return whether the caller is on the loop's thread."""
        return threading.get_ident() == self._thread

    def call(self, fn: Callable[..., T], *args: Any, timeout: float | None = None) -> T:
        """Call a plain function on the loop from another thread and return its value.

        Raises:
            RuntimeError: On the loop's own thread, where it would wait for itself.
            RejectedError: If the loop drains or is closed.
        """

        async def run() -> T:
            return fn(*args)

        return self.wait(run(), timeout=timeout)

    def wait(self, coroutine: Coroutine[Any, Any, T], *, timeout: float | None = None) -> T:
        """Run a coroutine on the loop from another thread and return its value."""
        if self.on_thread():
            coroutine.close()
            message = "this would block the loop that it waits for; `await` the coroutine here"
            raise RuntimeError(message)
        future = self.spawn(coroutine)
        try:
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine on the loop from any thread.

        Context variables of the caller are carried over. Cancelling the returned
        future cancels the coroutine.
        """
        if self.state != LoopState.RUNNING:
            coroutine.close()
            self._refuse()
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        context = contextvars.copy_context()

        def start() -> None:
            if self.state != LoopState.RUNNING or not future.set_running_or_notify_cancel():
                coroutine.close()
                if not future.cancelled():
                    future.set_exception(RejectedError("the engine closed before the call could start"))
                return
            task = self.loop.create_task(coroutine, context=context)
            self._tasks[task] = future
            task.add_done_callback(self._ended)

        try:
            self.loop.call_soon_threadsafe(start)
        except RuntimeError:  # closed since the check above
            coroutine.close()
            self._refuse()
        return future

    def post(self, fn: Callable[..., object], *args: Any) -> None:
        """Call a function on the loop soon, from any thread, without waiting."""
        if self.state != LoopState.RUNNING:
            self._refuse()
        self.loop.call_soon_threadsafe(fn, *args)

    def drain(self) -> None:
        """Refuse what comes from other threads from now on."""
        self.state = max(self.state, LoopState.DRAINING)

    async def aclose(self) -> None:
        """Cancel what was spawned from other threads, and wait for it."""
        self.drain()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        self.state = LoopState.CLOSED

    def _ended(self, task: asyncio.Task[Any]) -> None:
        future = self._tasks.pop(task)
        if task.cancelled():
            future.set_exception(concurrent.futures.CancelledError())
        elif (error := task.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(task.result())

    def _refuse(self) -> None:
        message = f"the engine's loop is {self.state.name.lower()} and takes no call from another thread"
        raise RejectedError(message)
