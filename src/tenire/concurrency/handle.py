"""What ``submit`` returns: the record of one task, awaitable.

A handle is the scheduler's record itself, with the function and the outcome
added. It makes a future only if somebody awaits it unfinished, so a queued task
costs a few hundred bytes and no asyncio object.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from tenire.concurrency.elsewhere import await_elsewhere, settle_unended, wait_on_thread
from tenire.concurrency.holding import HOLDER
from tenire.core.tasks import WAITING, State, Task, mask_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Context

    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.concurrency.task_groups import TaskGroup
    from tenire.core.fair_share import PipelineShare
    from tenire.core.tasks import Needs, Retry
    from tenire.errors import TaskTimeoutError

__all__ = ["ANYWHERE", "LOOP", "PERMIT", "PLACES", "PROCESS", "THREAD", "Explanation", "Handle", "gone"]

T = TypeVar("T")

LOOP, THREAD, PROCESS, ANYWHERE, PERMIT = range(5)
"""Where a task runs; a permit runs nowhere, it only holds."""

PLACES = ("loop", "thread", "process", "worker process", "permit")


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task is where it is.

    Attributes:
        task: The task's name.
        pipeline: Its pipeline.
        state: ``waiting``, ``ready``, ``running``, ``done``, ``failed`` or ``cancelled``.
        reason: What holds it back, or how it ended, in one sentence.
        gate: What holds it back, in one word: ``dependency``, ``retry``, ``position``,
            ``resource``, ``quota``, ``breaker``, ``reserved``, ``share``, ``burst``,
            ``overload``, ``degraded``, ``suspended``, ``next`` (nothing does), or
            ``none`` if it does not wait.
    """

    task: str
    pipeline: str
    state: str
    reason: str
    gate: str = "none"

    def __str__(self) -> str:
        return f"Task {self.task!r} of pipeline {self.pipeline!r} is {self.state}: {self.reason}."


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def gone() -> None:
    """Stand for the function of a task that has ended."""


class _Waiter(asyncio.Future[None]):
    """What an awaiting task waits on.

    Cancelling the awaiting task asks the handle to cancel, and the awaiting task
    wakes when the work has really ended: the same as awaiting an asyncio.Task.
    """

    handle: Handle[Any]

    def cancel(self, msg: Any | None = None) -> bool:
        # Too late for the work is not too late for who waits: then the waiting itself is cancelled.
        return not self.done() and self.handle.orchestrator.cancel(self.handle)


class Handle(Task, Generic[T]):
    """One submitted task. Await it for its value.

    Awaiting raises the function's own exception; what the engine causes is a
    ``TaskError``. Cancelling a task that awaits a handle cancels the handle.
    """

    __slots__ = (
        "args",
        "attempts",
        "callbacks",
        "context",
        "dropped",
        "error",
        "fn",
        "group",
        "on",
        "orchestrator",
        "retry",
        "run",
        "settled",
        "stop_error",
        "timeout",
        "value",
        "waiter",
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
    stop_error: TaskTimeoutError | None
    timeout: float | None
    orchestrator: Orchestrator
    group: TaskGroup | None
    settled: bool
    value: Any
    error: BaseException | None
    waiter: _Waiter | None
    callbacks: list[Callable[[Handle[Any]], object]] | None
    dropped: bool  # set only if ``UnseenFailures`` has too many of them to keep this one

    def __init__(
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
        always: bool = False,
    ) -> None:
        # All of Task's fields are set here too: calling its constructor would add a
        # tenth to the cost of a task.
        self.seq = 0
        self.pipeline = pipeline
        self.name = name
        self.priority = priority
        self.needs = needs
        self.mask = mask_of(needs) if needs else 0
        self.claim = 0
        self.state = WAITING
        self.blockers = 0
        self.dependents = None
        self.after = ()
        self.always = always
        self.deadline = deadline
        self.permits = None
        self.is_permit = on == PERMIT
        self.parent = 0
        self.fn = fn
        self.args = args
        self.on = on
        self.context = context
        self.retry = retry
        self.worker = worker
        self.attempts = 0
        self.run = None
        self.stop_error = None
        self.timeout = None
        self.orchestrator = orchestrator
        self.group = None
        self.settled = False
        self.value = None
        self.error = None
        self.waiter = None
        self.callbacks = None

    def done(self) -> bool:
        """Return whether the task has ended, however it did."""
        if not self.settled and self.orchestrator.gone:
            settle_unended(self)
        return self.settled

    def cancelled(self) -> bool:
        """Return whether the task was cancelled."""
        return self.done() and isinstance(self.error, CancelledError)

    def cancel(self) -> bool:
        """Cancel the task; return whether there was still something to cancel.

        A task that has not started never will. A coroutine gets ``CancelledError``
        at its next await; a worker process is killed; a thread cannot be stopped,
        so it is abandoned: the handle ends at once and the thread's slot is free
        when its function returns.
        """
        if self.done():
            return False
        return self.orchestrator.request_cancel(self)

    def exception(self) -> BaseException | None:
        """Return the exception of an ended task, or ``None``.

        Raises:
            asyncio.InvalidStateError: If the task has not ended.
            asyncio.CancelledError: If it was cancelled.
        """
        if not self.done():
            message = f"task {self.name!r} has not ended yet"
            raise asyncio.InvalidStateError(message)
        if isinstance(self.error, CancelledError):
            raise CancelledError
        self.orchestrator.unseen.discard(self)
        return self.error

    def result(self, timeout: float | None = None) -> T:
        """Wait for the task from another thread and return its value.

        Args:
            timeout: Seconds to wait at the most; ``None`` waits for ever.

        Raises:
            RuntimeError: If called on the engine's own loop thread before the task
                has ended; there, ``await handle`` is the way.
            TimeoutError: If the task has not ended in time. It goes on.
        """
        try:
            if not self.settled:
                wait_on_thread(self, timeout)
            return self._outcome()
        finally:
            del self  # see ``_outcome``

    def add_done_callback(self, callback: Callable[[Handle[T]], object]) -> None:
        """Call ``callback(handle)`` on the engine's loop once the task has ended."""
        self.orchestrator.on_loop(self.call_back, callback)

    def explain(self) -> Explanation:
        """Return why the task is where it is."""
        self.done()  # nobody may run it any more
        return self.orchestrator.explain(self)

    def __await__(self) -> Generator[Any, None, T]:
        if not self.settled:
            loop = asyncio.get_running_loop()
            if loop is not self.orchestrator.loop:
                yield from await_elsewhere(self, loop)
            elif HOLDER.get() is not None:
                yield from self._await_inside()
            else:
                waiter = self._waiting()
                # Not `yield from waiter`: that checks the result again when it is resumed.
                waiter._asyncio_future_blocking = True  # noqa: SLF001 - asyncio's protocol for awaiting a future
                yield waiter
                del waiter
        if self.error is None:
            return cast("T", self.value)
        try:
            return self._outcome()
        finally:
            del self  # see ``_outcome``

    # -- for the engine ---------------------------------------------------

    def settle(self, value: Any, error: BaseException | None) -> None:
        """Set the outcome and wake whoever waits; on the engine's loop only."""
        # A failed one has no value, but a traceback that each raising would make longer.
        self.value = value if error is None else error.__traceback__
        self.error = error
        self.settled = True
        if self.waiter is not None or self.callbacks is not None:
            self._wake()

    def _wake(self) -> None:
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            _set(waiter)
        callbacks = self.callbacks
        if callbacks is not None:
            self.callbacks = None
            for callback in callbacks:
                self.orchestrator.loop.call_soon(callback, self)

    def was_dropped(self) -> bool:
        """Return whether its failure is only counted among those that nobody has looked at."""
        return getattr(self, "dropped", False)

    def release(self) -> None:
        """Let go of the function and what it was given; it has ended, or will never run."""
        self.fn, self.args, self.context = gone, (), None

    def _waiting(self) -> _Waiter:
        waiter = self.waiter
        if waiter is None:
            waiter = self.waiter = _Waiter(loop=self.orchestrator.loop)
            waiter.handle = self
        return waiter

    async def wait_unowned(self) -> None:
        """Wait for the end on nobody's behalf; for the engine's own code."""
        try:
            if not self.settled:
                await self._waiting()
            self._outcome()
        finally:
            del self  # see ``_outcome``

    def _await_inside(self) -> Generator[Any, None, None]:
        """Wait inside a task: what it waits for becomes as urgent, and no circle may close."""
        holder = cast("Task", HOLDER.get())
        try:
            self.orchestrator.begin_wait(holder, self)
            try:
                waiter = self._waiting()
                waiter._asyncio_future_blocking = True  # noqa: SLF001 - see ``__await__``
                yield waiter
            finally:
                self.orchestrator.end_wait(holder, self)
        finally:
            del holder, self  # see ``_outcome``

    def _outcome(self) -> T:
        error = self.error
        if error is None:
            return cast("T", self.value)
        try:
            if isinstance(error, CancelledError):
                raise CancelledError
            self.orchestrator.unseen.discard(self)
            raise error.with_traceback(self.value)
        finally:
            # The traceback holds this frame; without this the frame would hold the
            # handle, and the cycle would wait for the garbage collector.
            del self, error

    def call_back(self, callback: Callable[[Handle[Any]], object]) -> None:
        """Do what ``add_done_callback`` is for; on the engine's loop."""
        if self.settled:
            self.orchestrator.loop.call_soon(callback, self)
        elif self.callbacks is None:
            self.callbacks = [callback]
        else:
            self.callbacks.append(callback)

    def call_back_no_more(self, callback: Callable[[Handle[Any]], object]) -> None:
        """Take back a callback that need not be called any more; on the engine's loop."""
        if self.callbacks is not None and callback in self.callbacks:
            self.callbacks.remove(callback)

    def state_name(self) -> str:
        """Return the state as people see it."""
        if self.settled and self.state < State.DONE:
            if self.error is None:
                return "done"
            return "cancelled" if isinstance(self.error, CancelledError) else "failed"
        return State(self.state).name.lower()
