"""What ``submit`` returns: the record of one task, awaitable.

A handle is the scheduler's record itself, with the function and the outcome
added. It makes a future only if somebody awaits it unfinished, so a queued task
costs a few hundred bytes and no asyncio object.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import CancelledError
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from tenire.core.tasks import WAITING, State, Task, mask_of

if TYPE_CHECKING:
    from contextvars import Context

    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.core.fair_share import PipelineShare
    from tenire.core.tasks import Needs, Retry

__all__ = ["LOOP", "PERMIT", "PROCESS", "THREAD", "Explanation", "Handle"]

T = TypeVar("T")

LOOP, THREAD, PROCESS, PERMIT = range(4)
"""Where a task runs; a permit runs nowhere, it only holds."""

PLACES = ("loop", "thread", "process", "permit")


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task is where it is.

    Attributes:
        task: The task's name.
        pipeline: Its pipeline.
        state: ``waiting``, ``ready``, ``running``, ``done``, ``failed`` or ``cancelled``.
        reason: What holds it back, or how it ended, in one sentence.
    """

    task: str
    pipeline: str
    state: str
    reason: str

    def __str__(self) -> str:
        return f"Task {self.task!r} of pipeline {self.pipeline!r} is {self.state}: {self.reason}."


class _Waiter(asyncio.Future[None]):
    """What an awaiting task waits on.

    Cancelling the awaiting task asks the handle to cancel, and the awaiting task
    wakes when the work has really ended: the same as awaiting an asyncio.Task.
    """

    handle: Handle[Any]

    def cancel(self, msg: Any | None = None) -> bool:
        if self.done():
            return False
        self.handle.cancel()
        return True

    def wake(self) -> None:
        if not self.done():
            self.set_result(None)


class Handle(Task, Generic[T]):
    """One submitted task. Await it for its value.

    Awaiting raises the function's own exception; what the engine causes is a
    ``TaskError``. Cancelling a task that awaits a handle cancels the handle.
    """

    __slots__ = (
        "_callbacks",
        "_error",
        "_orchestrator",
        "_settled",
        "_value",
        "_waiter",
        "args",
        "attempts",
        "context",
        "fn",
        "on",
        "retry",
        "run",
        "stop_reason",
        "worker",
    )

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    on: int
    context: Context | None
    retry: Retry | None
    attempts: int
    worker: str | None
    run: Any
    stop_reason: str | None
    _orchestrator: Orchestrator
    _settled: bool
    _value: Any
    _error: BaseException | None
    _waiter: _Waiter | None
    _callbacks: list[Callable[[Handle[Any]], object]] | None

    def __init__(  # noqa: PLR0913 - one positional call, made for every task
        self,
        pipeline: PipelineShare,
        name: str,
        priority: int,
        needs: Needs,
        deadline: float | None,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        on: int,
        context: Context | None,
        retry: Retry | None,
        worker: str | None,
        orchestrator: Orchestrator,
    ) -> None:
        # All of Task's fields are set here too: calling its constructor would add a
        # tenth to the cost of a task.
        self.pipeline = pipeline
        self.name = name
        self.priority = priority
        self.needs = needs
        self.mask = mask_of(needs) if needs else 0
        self.state = WAITING
        self.blockers = 0
        self.dependents = None
        self.deadline = deadline
        self.fn = fn
        self.args = args
        self.on = on
        self.context = context
        self.retry = retry
        self.worker = worker
        self.attempts = 0
        self.run = None
        self.stop_reason = None
        self._orchestrator = orchestrator
        self._settled = False
        self._value = None
        self._error = None
        self._waiter = None
        self._callbacks = None

    def done(self) -> bool:
        """Return whether the task has ended, however it did."""
        return self._settled

    def cancelled(self) -> bool:
        """Return whether the task was cancelled."""
        return self._settled and isinstance(self._error, CancelledError)

    def cancel(self) -> bool:
        """Cancel the task; return whether there was still something to cancel.

        A task that has not started never will. A coroutine gets ``CancelledError``
        at its next await; a worker process is killed; a thread cannot be stopped,
        so it is abandoned: the handle ends at once and the thread's slot is free
        when its function returns.
        """
        if self._settled:
            return False
        self._orchestrator.request_cancel(self)
        return True

    def exception(self) -> BaseException | None:
        """Return the exception of an ended task, or ``None``.

        Raises:
            asyncio.InvalidStateError: If the task has not ended.
            asyncio.CancelledError: If it was cancelled.
        """
        if not self._settled:
            message = f"task {self.name!r} has not ended yet"
            raise asyncio.InvalidStateError(message)
        if isinstance(self._error, CancelledError):
            raise CancelledError
        self._orchestrator.unseen.discard(self)
        return self._error

    def result(self, timeout: float | None = None) -> T:
        """Wait for the task from another thread and return its value.

        Args:
            timeout: Seconds to wait at the most; ``None`` waits for ever.

        Raises:
            RuntimeError: If called on the engine's own loop thread before the task
                has ended; there, ``await handle`` is the way.
            TimeoutError: If the task has not ended in time. It goes on.
        """
        if not self._settled:
            self._wait_from_thread(timeout)
        return self._outcome()

    def add_done_callback(self, callback: Callable[[Handle[T]], object]) -> None:
        """Call ``callback(handle)`` on the engine's loop once the task has ended."""
        self._orchestrator.on_loop(self._add_callback, callback)

    def explain(self) -> Explanation:
        """Return why the task is where it is."""
        return self._orchestrator.explain(self)

    def __await__(self) -> Generator[Any, None, T]:
        if not self._settled:
            loop = asyncio.get_running_loop()
            if loop is not self._orchestrator.loop:
                yield from self._await_elsewhere(loop)
            else:
                waiter = self._waiter
                if waiter is None:
                    waiter = self._waiter = _Waiter(loop=loop)
                    waiter.handle = self
                # One future serves every task that waits; each needs its own turn
                # to mark it as awaited.
                waiter._asyncio_future_blocking = True
                yield waiter
        return self._outcome()

    # -- for the engine ---------------------------------------------------

    def settle(self, value: Any, error: BaseException | None) -> None:
        """Set the outcome and wake whoever waits; on the engine's loop only."""
        self._value = value
        self._error = error
        self._settled = True
        if self._waiter is not None or self._callbacks is not None:
            self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            waiter.wake()
        callbacks = self._callbacks
        if callbacks is not None:
            self._callbacks = None
            for callback in callbacks:
                self._orchestrator.loop.call_soon(callback, self)

    def _outcome(self) -> T:
        error = self._error
        if error is None:
            return cast("T", self._value)
        try:
            if isinstance(error, CancelledError):
                raise CancelledError
            self._orchestrator.unseen.discard(self)
            raise error
        finally:
            # The traceback holds this frame; without this the frame would hold the
            # handle, and the cycle would wait for the garbage collector.
            del self, error

    def _add_callback(self, callback: Callable[[Handle[Any]], object]) -> None:
        if self._settled:
            self._orchestrator.loop.call_soon(callback, self)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    def _wait_from_thread(self, timeout: float | None) -> None:
        orchestrator = self._orchestrator
        if orchestrator.on_own_thread():
            message = "Handle.result() would block the loop that runs the task; use `await handle` here"
            raise RuntimeError(message)
        ended = threading.Event()
        if orchestrator.on_loop(self._add_callback, lambda _: ended.set()) and not ended.wait(timeout):
            message = f"task {self.name!r} has not ended within {timeout} s (it goes on)"
            raise TimeoutError(message)

    def _await_elsewhere(self, loop: asyncio.AbstractEventLoop) -> Generator[Any, None, None]:
        ended = loop.create_future()

        def wake(_: Handle[Any]) -> None:
            loop.call_soon_threadsafe(lambda: ended.done() or ended.set_result(None))

        if self._orchestrator.on_loop(self._add_callback, wake):
            try:
                yield from ended
            except CancelledError:
                self.cancel()
                raise

    def state_name(self) -> str:
        """Return the state as people see it."""
        if self._settled and self.state < State.DONE:
            if self._error is None:
                return "done"
            return "cancelled" if isinstance(self._error, CancelledError) else "failed"
        return State(self.state).name.lower()
