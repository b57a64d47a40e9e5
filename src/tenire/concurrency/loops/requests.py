"""What another thread asks of a loop, and how it learns the outcome.

1. A request starts at most once, on the loop, in the context of whoever asked.
2. It is settled exactly once: by its end, or by a refusal, whichever thread is first.
3. Whoever gives it up before it started keeps it from starting; afterwards its
   coroutine is cancelled.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import sys
from _thread import allocate_lock
from contextvars import copy_context
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from tenire.concurrency.holding import HOLDER
from tenire.concurrency.loops.state import LoopState
from tenire.concurrency.loops.tracking import STARTED_BY
from tenire.concurrency.waiting import acquire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextvars import Context

    from tenire.concurrency.loops.portal import Portal

__all__ = ["BlockingCall", "Post", "Request", "is_awaitable", "must_arrive"]

T = TypeVar("T")

_EAGER = sys.version_info >= (3, 12)
"""Whether a coroutine can run up to its first wait without a turn of the loop."""

_Ending = KeyboardInterrupt | SystemExit
"""What ends a loop as well, whoever else gets it, as in asyncio."""

_log = logging.getLogger("tenire.loops")


def is_awaitable(value: object) -> bool:
    """Return whether a value can be awaited; for a plain value that costs next to nothing."""
    return hasattr(type(value), "__await__")


def must_arrive(fn: object) -> bool:
    """Return whether a function that is posted must not be refused; see ``Portal.post``."""
    return getattr(fn, "must_arrive", False) is True


async def _awaiting(value: Awaitable[T]) -> T:
    return await value


class Request:
    """One call of a function on the loop; if it returns something to await, that is awaited.

    Args:
        portal: The way into the loop.
        what: A function, or a coroutine, or anything else that can be awaited.
        args: The function's arguments.
        name: For people; default: the function's name.

    Attributes:
        name: As given.
        portal: As given.
        holder: The engine's task, or permit, that asked.
        since: When its coroutine began, seconds.
        task: The asyncio task of its coroutine, while it runs.
    """

    __slots__ = ("_args", "_context", "_given_up", "_open", "_what", "holder", "name", "portal", "since", "task")

    def __init__(
        self,
        portal: Portal,
        what: Callable[..., Any] | Awaitable[Any],
        args: tuple[Any, ...] = (),
        name: str | None = None,
    ) -> None:
        self.portal = portal
        self.name = name or getattr(what, "__qualname__", type(what).__qualname__)
        self.holder = HOLDER.get()
        self.since = 0.0
        self.task: asyncio.Task[Any] | None = None
        self._what: Any = what
        self._args = args
        self._context: Any = copy_context()
        self._given_up = False
        self._open = allocate_lock()

    def start(self) -> None:
        """Make the call; on the loop's thread."""
        if self._given_up:
            self.refuse(concurrent.futures.CancelledError())
            return
        if self.portal.state is not LoopState.RUNNING:
            self.refuse(self.portal.refusal())
            return
        what, args, context = self._what, self._args, self._context
        # Not kept: the context holds this request from now on, and they would wait for
        # the garbage collector together.
        self._what, self._args, self._context = _begun, (), None
        context.run(STARTED_BY.set, self)
        try:
            value = what if is_awaitable(what) else context.run(what, *args)
            if is_awaitable(value):
                self._begin(value if iscoroutine(value) else _awaiting(value), context)
                return
        except BaseException as error:  # noqa: BLE001 - the outcome, whatever it is
            self.settle(None, error)
            if isinstance(error, _Ending):  # the loop's affair too, once the others have started
                self.portal.loop.call_soon(_interrupt, error)
            return
        self.settle(value, None)

    def _begin(self, coroutine: Coroutine[Any, Any, Any], context: Context) -> None:
        portal = self.portal
        self.since = portal.clock.now()
        task: asyncio.Task[Any]
        loop = portal.loop
        if _EAGER and loop.get_task_factory() is None:
            task = asyncio.Task(coroutine, loop=loop, name=self.name, context=context, eager_start=True)  # type: ignore[call-arg]
            if task.done():
                self._take_in(task)
                return
        else:
            task = loop.create_task(coroutine, name=self.name, context=context)
        self.task = task
        portal.running[task] = self
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.task = None
        if self.portal.running.pop(task, None) is not None:
            self._take_in(task)
        elif not task.cancelled():
            task.exception()  # given up when the loop closed, and settled then

    def _take_in(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self.settle(None, concurrent.futures.CancelledError())
        elif (error := task.exception()) is not None:
            self.settle(None, error)
        else:
            self.settle(task.result(), None)

    def give_up(self) -> None:
        """Keep it from starting, or cancel it; from any thread."""
        self._given_up = True
        # In its first step it is no task yet, but is one when the loop comes to this: once is all.
        self.portal.interrupt(self._cancel)

    def _cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def drop(self) -> None:
        """Take in that it will never start, and that whoever asked knows."""
        what, self._what = self._what, _begun
        if iscoroutine(what):
            what.close()

    def refuse(self, error: BaseException) -> None:
        """Settle it without having started it; on any thread."""
        self.drop()
        self.settle(None, error)

    def go_past(self) -> bool:
        """Go straight to the loop, which drains, if this must arrive; return whether it does."""
        return False

    def settle(self, value: Any, error: BaseException | None) -> None:
        """Take in the outcome; what comes after the first one is late, since nobody waits any more."""
        if self._open.acquire(blocking=False):
            self._settle(value, error)

    def _settle(self, value: Any, error: BaseException | None) -> None:
        raise NotImplementedError

    def done(self) -> bool:
        """Return whether it was settled."""
        raise NotImplementedError


def _interrupt(error: BaseException) -> None:
    """Raise what a call raised, on the loop."""
    raise error


def _begun() -> None:
    """Stand where the function was, which is not kept once it was called."""


class BlockingCall(Request, Generic[T]):
    """A request that a thread waits for."""

    __slots__ = ("_error", "_lock", "_settled", "_value")

    def __init__(self, portal: Portal, what: Callable[..., Any] | Awaitable[Any], args: tuple[Any, ...] = ()) -> None:
        super().__init__(portal, what, args)
        # A bare lock: the condition inside a concurrent.futures.Future costs as much as the whole trip.
        self._lock = allocate_lock()
        self._lock.acquire()
        self._settled = False
        self._value: Any = None
        self._error: BaseException | None = None

    def _settle(self, value: Any, error: BaseException | None) -> None:
        self._value, self._error, self._settled = value, error, True
        self._lock.release()

    def done(self) -> bool:
        """See ``Request``."""
        return self._settled

    def wait(self, timeout: float | None) -> T:
        """Wait for the outcome; whoever stops waiting gives it up.

        Raises:
            TimeoutError: If it did not end in time; it is cancelled then.
        """
        try:
            in_time = acquire(self._lock, timeout)
        except BaseException:  # Ctrl-C
            self.give_up()
            raise
        if not in_time:
            self.give_up()
            message = f"{self.name!r} did not end on the loop {self.portal.name!r} within {timeout} s"
            raise TimeoutError(message)
        error = self._error
        try:
            if error is not None:
                raise error
            return cast("T", self._value)
        finally:
            del self, error  # the traceback holds this frame: without this, a cycle


class Post(Request):
    """A request whose outcome nobody waits for; an error goes to the loop's exception handler."""

    __slots__ = ("_settled",)

    def __init__(self, portal: Portal, what: Callable[..., Any], args: tuple[Any, ...]) -> None:
        super().__init__(portal, what, args)
        self._settled = False

    def go_past(self) -> bool:
        """See ``Request``.

        Raises:
            RuntimeError: If the loop is closed.
        """
        if not must_arrive(self._what):
            return False
        self.portal.loop.call_soon_threadsafe(self._what, *self._args, context=self._context)
        self._settled = True
        self.drop()
        return True

    def refuse(self, error: BaseException) -> None:
        """See ``Request``."""
        with contextlib.suppress(RuntimeError):  # closed: then it is lost, and told so
            if self.go_past():
                return
        super().refuse(error)

    def _settle(self, value: Any, error: BaseException | None) -> None:
        self._settled = True
        if error is None or isinstance(error, concurrent.futures.CancelledError | _Ending):  # the loop ends by that one
            return
        if self.portal.on_thread():
            message = f"{self.name!r}, posted to the loop {self.portal.name!r}, failed"
            self.portal.loop.call_exception_handler({"message": message, "exception": error})
        else:
            _log.warning("%r, posted to the loop %r, was dropped: %s", self.name, self.portal.name, error)

    def done(self) -> bool:
        """See ``Request``."""
        return self._settled
