"""The way into one loop from other threads.

1. What one thread sends starts in the order in which it was sent.
2. From DRAINING on everything new is refused at once, except what must arrive: that
   goes to the loop as long as it is open.
3. When CLOSED, nobody who sent something is left waiting.
4. A blocking call on the loop's own thread is refused: it would wait for itself.

What is sent stands in one inbox. One wake-up of the loop, which costs more than all
the rest, serves everything that has come by then.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar, overload

from tenire.concurrency.loops.forks import FORKED, on_fork
from tenire.concurrency.loops.requests import BlockingCall, Post, Request, is_awaitable, must_arrive
from tenire.concurrency.loops.spawned import Spawned, SpawnedRequest
from tenire.concurrency.loops.state import LoopState
from tenire.errors import ConfigError, InternalError, RejectedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine

    from tenire.clock import Clock

__all__ = ["MOST_WAITING", "Portal"]

_log = logging.getLogger("tenire.loops")

T = TypeVar("T")

MOST_WAITING = 100_000
"""Calls that may stand in the inbox; ``post``, which nobody waits for, is refused beyond it."""


class Portal:
    """Calls functions on a loop from any thread.

    Args:
        name: Of the loop, for people.
        clock: Where time comes from.

    Attributes:
        name: As given.
        clock: As given.
        state: See ``LoopState``.
        running: The requests whose coroutines run, by their asyncio tasks.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.clock = clock
        self.state = LoopState.NEW
        self.running: dict[asyncio.Task[Any], Request] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._inbox: deque[Request] = deque()
        self._beginning: Request | None = None
        self._woken = False
        self._why = ""
        # Around each change of the state: several threads may bring it to its end, and none may write an earlier
        # state over a later one.
        self._moving = threading.RLock()
        # The loop would copy the context of whoever wakes it; each request has its own.
        self._context = contextvars.Context()

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

    @property
    def waiting(self) -> int:
        """Number of calls that stand in the inbox."""
        return len(self._inbox)

    @property
    def thread(self) -> int:
        """Identifier of the loop's thread; 0 if there is none."""
        return self._thread

    def on_thread(self) -> bool:
        """Return whether the caller is on the loop's thread."""
        return threading.get_ident() == self._thread

    # -- calls ------------------------------------------------------------

    @overload
    def call(self, fn: Callable[..., Coroutine[Any, Any, T]], *args: Any, timeout: float | None = ...) -> T: ...

    @overload
    def call(self, fn: Callable[..., T], *args: Any, timeout: float | None = ...) -> T: ...

    def call(self, fn: Callable[..., Any], *args: Any, timeout: float | None = None) -> Any:
        """Call a function on the loop from another thread and return its value.

        If it returns something to await (a coroutine function does), that is awaited.
        Context variables of the caller are carried over.

        Args:
            fn: The function.
            *args: Its arguments.
            timeout: Seconds to wait at the most; ``None`` waits for ever.

        Raises:
            RuntimeError: On the loop's own thread, where ``acall`` is the way.
            RejectedError: If the loop drains or is closed.
            TimeoutError: If it has not ended in time. It is cancelled then.
        """
        self.refuse_on_thread("call", "`await …acall(…)`")
        request: BlockingCall[Any] = BlockingCall(self, fn, args)
        self._send(request)
        return request.wait(timeout)

    @overload
    async def acall(self, fn: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T: ...

    @overload
    async def acall(self, fn: Callable[..., T], *args: Any) -> T: ...

    async def acall(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call a function on the loop and await its value, on this loop or another one.

        Cancelling who awaits cancels what was called.

        Raises:
            RejectedError: If the loop drains or is closed.
        """
        if not self.on_thread():
            return await self.spawn(fn, *args)
        if self.state is not LoopState.RUNNING:
            raise self.refusal()
        value = fn(*args)
        return await value if is_awaitable(value) else value

    def wait(self, coroutine: Awaitable[T], *, timeout: float | None = None) -> T:
        """Run a coroutine on the loop from another thread and return its value; raises as ``call`` does.

        On the loop's own thread, and where there is a loop of your own, ``await`` is the way.
        """
        if not is_awaitable(coroutine):
            message = f"wait() takes a coroutine, got {coroutine!r}"
            raise ConfigError(message, key="coroutine", hint="call(fn, …) takes a function")
        request: BlockingCall[T] = BlockingCall(self, coroutine)
        try:
            self.refuse_on_thread("wait", "`await` the coroutine")
        except RuntimeError:
            request.drop()
            raise
        self._send(request)
        return request.wait(timeout)

    @overload
    def spawn(self, what: Awaitable[T], /, *, name: str | None = ...) -> Spawned[T]: ...

    @overload
    def spawn(
        self, what: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, name: str | None = ...
    ) -> Spawned[T]: ...

    @overload
    def spawn(self, what: Callable[..., T], /, *args: Any, name: str | None = ...) -> Spawned[T]: ...

    def spawn(self, what: Callable[..., Any] | Awaitable[Any], /, *args: Any, name: str | None = None) -> Spawned[Any]:
        """Start a coroutine, or call a function, on the loop from any thread.

        Context variables of the caller are carried over.

        Args:
            what: A coroutine, or what else can be awaited, a coroutine function or a plain function.
            *args: The function's arguments.
            name: For people; default: the function's name.

        Returns:
            A future that threads wait for with ``result()`` and coroutines of any loop
            with ``await``. Cancelling it cancels the coroutine.

        Raises:
            RejectedError: If the loop drains or is closed.
        """
        request: SpawnedRequest[Any] = SpawnedRequest(self, what, args, name)
        self._send(request)
        return request.future

    def post(self, fn: Callable[..., object], *args: Any) -> None:
        """Call a function on the loop soon, from any thread, without waiting for it.

        What it raises goes to the loop's exception handler.

        Args:
            fn: The function. One with a true attribute ``must_arrive`` is refused neither for want
                of room nor while the engine stops: whoever has one sends it once at a time.
            *args: Its arguments.

        Raises:
            RejectedError: If the loop drains or is closed, or ``MOST_WAITING`` calls wait already.
            RuntimeError: If the function must arrive, and nothing will run on the loop any more.
        """
        if len(self._inbox) >= MOST_WAITING and not must_arrive(fn):
            message = f"{MOST_WAITING} calls wait for the loop {self.name!r} already, so no more are posted to it"
            raise RejectedError(message, hint="use call() or spawn(), and wait for what came before")
        self._send(Post(self, fn, args))

    def refuse_on_thread(self, name: str, twin: str) -> None:
        """Refuse a blocking call on the loop's own thread.

        Raises:
            RuntimeError: If this is that thread.
        """
        if threading.get_ident() == self._thread:
            message = f"{name}() would block the loop {self.name!r}, which it waits for; here, use {twin}"
            raise RuntimeError(message)

    # -- the inbox --------------------------------------------------------

    def _send(self, request: Request) -> None:
        if self.state is not LoopState.RUNNING:
            if self.state is not LoopState.NEW and self._why != FORKED and request.go_past():
                return
            request.drop()
            raise self.refusal()
        try:
            self._inbox.append(request)
            if not self._woken:
                self._woken = True
                self._wake()
        except BaseException:
            # Ctrl-C, perhaps before the loop was woken, and other threads may count on that by now. Woken
            # twice it does nothing; interrupted here once more, it is woken by whoever sends next.
            self._woken = False
            self._wake()
            raise
        if self._why or self.state >= LoopState.CLOSED:  # since the look above: nobody else comes to it
            self._refuse_inbox()

    def _wake(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self._deliver, context=self._context)
        except RuntimeError:  # the loop was closed by whoever owns it
            self.lost("its loop was closed while the engine was still open")

    def _deliver(self) -> None:
        # Cleared before the inbox is looked at: what is sent in between wakes the loop
        # once too often, never once too seldom.
        self._woken = False
        inbox = self._inbox
        try:
            for _ in range(len(inbox)):  # what comes meanwhile waits for the loop's other work
                try:
                    request = inbox.popleft()
                except IndexError:  # refused meanwhile, because the loop was closed
                    break
                self._beginning = request
                request.start()
        except BaseException:
            # Ctrl-C, or a callback of an outcome ends the program. If the loop runs again, those behind it start.
            self._wake()
            raise
        finally:
            self._beginning = None

    def interrupt(self, fn: Callable[[], object]) -> None:
        """Call a function on the loop, as long as there is one; for what must still be done while it drains."""
        if self.state in (LoopState.RUNNING, LoopState.DRAINING):
            with contextlib.suppress(RuntimeError):  # closed: there is nothing left to interrupt
                self.loop.call_soon_threadsafe(fn, context=self._context)

    # -- life -------------------------------------------------------------

    def runs_on_this_thread(self) -> None:
        """Take in that the caller's thread is the one that runs the loop."""
        self._thread = threading.get_ident()

    def opened(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take calls for a loop.

        Raises:
            InternalError: If it had one before.
        """
        with self._moving:
            if self.state is not LoopState.NEW:
                message = (
                    f"the owner of the loop {self.name!r} is {self.state.name.lower()} and cannot take another loop"
                )
                raise InternalError(message)
            self._loop = loop
            self.state = LoopState.RUNNING
        on_fork(self)

    def _go_on_to(self, state: LoopState) -> None:
        with self._moving:
            self.state = max(self.state, state)

    def drain(self) -> None:
        """Refuse what comes from other threads from now on."""
        self._go_on_to(LoopState.DRAINING)

    def closed(self, why: str = "") -> None:
        """Settle what is left; nobody waits for this loop any more."""
        self._why = self._why or why
        self._go_on_to(LoopState.CLOSED)
        self._refuse_inbox()
        running, self.running = self.running, {}
        for request in running.values():
            request.settle(None, self.refusal())

    def given_up(self, why: str) -> None:
        """Leave nobody waiting for a loop that stands still; from any thread. If it comes round, it still closes."""
        self._why = why
        self.drain()
        # This one first: where it is no more, it runs, or has ended.
        beginning = self._beginning
        self._refuse_inbox()
        for request in (beginning, *list(self.running.values())):
            if request is not None and not isinstance(request, Post):  # nobody waits for those
                request.settle(None, self.refusal())

    def lost(self, why: str) -> None:
        """Take in that the loop has ended without a word; from any thread."""
        if self.state is not LoopState.CLOSED:
            left = "what the engine holds, its workers and its home among it, is free when the program ends"
            _log.error("nothing runs on the loop %r any more: %s; %s", self.name, why, left)
            self.closed(why)

    def forked(self) -> None:
        """See ``forks``."""
        # What runs goes on in the parent, and is settled there. Here it only must not be
        # destroyed, which asyncio would complain of.
        self._moving = threading.RLock()  # a thread may have had it that only the parent has
        self._why, self.state, self._thread = FORKED, LoopState.CLOSED, 0

    def _refuse_inbox(self) -> None:
        while self._inbox:
            try:
                request = self._inbox.popleft()
            except IndexError:  # another thread was faster
                return
            request.refuse(self.refusal())

    def refusal(self) -> RejectedError:
        """Return why no call is taken now."""
        if self.state is LoopState.NEW:
            message = f"the loop {self.name!r} has not started and takes no call from another thread yet"
            return RejectedError(message, hint="enter the engine with `async with` or `in_thread()` first")
        why = f": {self._why}" if self._why else ""
        message = f"the loop {self.name!r} is {self.state.name.lower()} and takes no call from another thread{why}"
        return RejectedError(message)
