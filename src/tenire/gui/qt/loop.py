"""The loop of coroutines in the GUI thread, driven by Qt's own.

It has what coroutines need to wait for each other, for tasks of the engine and for
signals: tasks, futures, timeouts, locks, queues, task groups. It has no sockets, files or
subprocesses, and no threads: those belong to the engine's loop, where nothing that they
do can hold up a frame.

1. A turn runs what is ready, but for at most ``_TURN_S``; then Qt has its turn.
2. A turn within a turn (a slot that runs ``dialog.exec()``) runs the other tasks as
   usual; the one that is inside it goes on when it returns.
3. It lives until the application quits. Then all tasks are cancelled, and get a moment
   to clean up, in which Qt's loop need not run. If it is a task that quits, this comes
   when its turn has ended: nothing that is awaited can come within it.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import sys
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.waiting import wait_set
from tenire.gui.binding import QtCore
from tenire.gui.qt.failures import report
from tenire.gui.qt.waker import Waker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
    from contextvars import Context

    from tenire.clock import Clock

__all__ = ["GuiLoop", "gui_loop", "open_gui_loop", "refuse_elsewhere"]

T = TypeVar("T")

_TURN_S = 0.008
_CLEAN_UP_S = 5.0
_LONGEST_MS = 1 << 30  # what Qt's timers can count

_log = logging.getLogger("tenire.gui")
_loops: dict[int, GuiLoop] = {}
"""By thread; there is one GUI thread."""


# For types it is abstract with fifty methods; those that are not here are refused below, each with advice.
_Base: Any = asyncio.AbstractEventLoop


class GuiLoop(_Base):  # type: ignore[misc]
    """See the module.

    Args:
        clock: Where time comes from.

    Attributes:
        tasks: Those that have not ended.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._ready: deque[asyncio.Handle] = deque()
        self._later: list[asyncio.TimerHandle] = []
        self._closing = False
        self._closed = False
        self._debug = False
        self._called = threading.Event()
        self._depth = 0
        self._after_turn: list[Callable[[], object]] = []
        self._waker = Waker(self._turn)
        self._timer = QtCore.QTimer(self._waker)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._turn)
        self._generators: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        self.tasks: set[asyncio.Task[Any]] = set()

    # -- what asyncio asks of a loop -----------------------------------------

    def time(self) -> float:
        """Return the time of ``call_at``."""
        return self._clock.now()

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """Call a function in the next turn."""
        if self._closed:
            message = "the application has quit, and its loop is closed"
            raise RuntimeError(message)
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        self._called.set()
        self._waker.wake()
        return handle

    call_soon_threadsafe = call_soon
    """The same: all that it touches may be touched from any thread."""

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call a function after so many seconds."""
        return self._at(self.time() + delay, callback, args, context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call a function at that time."""
        return self._at(when, callback, args, context)

    def _at(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._later, handle)
        self._arm()
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asyncio says so; it is left out when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], **options: Any) -> asyncio.Task[T]:
        """Run a coroutine here; the loop keeps it until it ends."""
        if self._closed:
            message = "the application has quit, and its loop is closed"
            raise RuntimeError(message)
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self, **options)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Hand an error that nobody else gets to ``sys.excepthook``."""
        error = context.get("exception")
        if isinstance(error, BaseException):
            report(error)
        else:
            _log.error("%s: %s", context.get("message", "an error in the GUI thread"), context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Do as ``call_exception_handler``."""
        self.call_exception_handler(context)

    def is_running(self) -> bool:
        """Return whether it takes calls."""
        return not self._closed

    def is_closed(self) -> bool:
        """Return whether it does not any more."""
        return self._closed

    def get_debug(self) -> bool:
        """Return whether asyncio watches closely."""
        return self._debug

    def set_debug(self, enabled: bool) -> None:
        """Have asyncio watch closely, or not."""
        self._debug = enabled

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> NoReturn:
        """Refuse it: the engine runs functions on threads."""
        del executor, func, args
        message = "the GUI thread's loop has no threads; use: await engine.submit(function, …)"
        raise RuntimeError(message)

    def outside(self, call: Callable[[], object]) -> bool:
        """Return whether no turn is under way; if one is, call this after it."""
        if self._depth:
            self._after_turn.append(call)
        return not self._depth

    def close(self) -> None:
        """Cancel all tasks, let them clean up, and end; within a turn, do so after it."""
        if self._closing or not self.outside(self.close):
            return
        self._closing = True  # who is cancelled twice is cancelled while cleaning up
        for task in tuple(self.tasks):
            task.cancel()
        until = self._clock.now() + _CLEAN_UP_S
        self._drain(until)
        for generator in tuple(self._generators):
            self._end_generator(generator)
        self._drain(until)
        for task in self.tasks:
            _log.warning("given up, did not end when it was cancelled: %s", task.get_name())
        self._closed = True
        self._timer.stop()
        self._waker.close()
        self._ready.clear()
        self._later.clear()

    def _end_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Let one that nobody iterates over any more clean up, as asyncio's loops do."""
        self._generators.discard(generator)
        if not self._closed:
            self.call_soon(self.create_task, generator.aclose())

    # -- turns ------------------------------------------------------------

    def _drain(self, until: float) -> None:
        while self.tasks or self._ready:  # the last ones to end are told of, too
            self._called.clear()
            self._turn()
            now = self._clock.now()
            if now >= until:
                return
            if self.tasks and not self._ready:
                due = self._later[0].when() if self._later else until
                wait_set(self._called, max(0.0, min(due, until) - now))

    def _turn(self) -> None:
        if self._closed:
            return
        now = self._clock.now()
        while self._later and self._later[0].when() <= now:
            self._ready.append(heapq.heappop(self._later))
        self._arm()
        limit = now + _TURN_S
        outer = asyncio._get_running_loop()  # noqa: SLF001 - what loops are given by asyncio
        inside = asyncio.current_task(self)
        if inside is not None:  # rule 2
            asyncio.tasks._leave_task(self, inside)  # noqa: SLF001 - documented for makers of loops
        asyncio._set_running_loop(self)  # noqa: SLF001
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._generators.add, finalizer=self._end_generator)
        self._depth += 1
        try:
            for _ in range(len(self._ready)):
                if not self._ready:
                    break  # a turn within this one has done it
                handle = self._ready.popleft()
                if self._ready:  # what runs now may wait in a dialog; the others then have a turn within it
                    self._waker.wake()
                if not handle.cancelled():
                    handle._run()  # noqa: SLF001 - how loops run what they were given
                if self._clock.now() >= limit:
                    break
        finally:
            self._depth -= 1
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(outer)  # noqa: SLF001
            if inside is not None:
                asyncio.tasks._enter_task(self, inside)  # noqa: SLF001
        while self._after_turn and not self._depth:
            self._after_turn.pop(0)()
        if self._ready and not self._closed:
            self._waker.wake()

    def _arm(self) -> None:
        if self._closed:
            return
        while self._later and self._later[0].cancelled():
            heapq.heappop(self._later)
        if self._later:
            wait = math.ceil((self._later[0].when() - self._clock.now()) * 1000)
            self._timer.start(min(max(0, wait), _LONGEST_MS))
        else:
            self._timer.stop()


def _refuse(name: str) -> Callable[..., NoReturn]:
    def refuse(self: GuiLoop, *_: Any, **__: Any) -> NoReturn:
        message = (
            f"the GUI thread's loop cannot {name.replace('_', ' ')}: nothing that may hold up a window runs there; "
            "put it into a coroutine function and use: await engine.submit(function, …)"
        )
        raise RuntimeError(message)

    return refuse


for _name in (
    "create_connection", "create_server", "create_unix_connection", "create_unix_server", "create_datagram_endpoint",
    "sock_recv", "sock_recv_into", "sock_sendall", "sock_connect", "sock_accept", "sock_sendfile", "sendfile",
    "start_tls", "getaddrinfo", "getnameinfo", "connect_accepted_socket", "connect_read_pipe", "connect_write_pipe",
    "subprocess_exec", "subprocess_shell", "add_reader", "add_writer", "add_signal_handler",
    "run_until_complete", "run_forever",
):  # fmt: skip
    setattr(GuiLoop, _name, _refuse(_name))


def gui_loop() -> asyncio.AbstractEventLoop:
    """Return the loop for coroutines in this thread: the one that runs (qasync's, say), else Qt's.

    Raises:
        RuntimeError: If this is not the GUI thread, or there is no application.
    """
    application = QtCore.QCoreApplication.instance()
    if application is not None:
        refuse_elsewhere("a coroutine of the GUI thread started")
    running = asyncio._get_running_loop()  # noqa: SLF001 - the one that does not raise
    if running is not None:
        return running
    if application is None:
        message = "coroutines in the GUI thread need a QApplication; make one first"
        raise RuntimeError(message)
    thread = threading.get_ident()
    loop = _loops.get(thread)
    if loop is None or loop.is_closed():
        loop = _loops[thread] = GuiLoop()
        application.aboutToQuit.connect(loop.close)
    return loop


def refuse_elsewhere(what: str) -> None:
    """Raise unless this is the GUI thread; there is an application.

    Raises:
        RuntimeError: If it is another one.
    """
    application = QtCore.QCoreApplication.instance()
    if application is not None and QtCore.QThread.currentThread() != application.thread():
        message = (
            f"{what} in the thread {threading.current_thread().name!r}, which is not the GUI thread; "
            "from there emit a signal, or call what engine.reporter(slot) returns"
        )
        raise RuntimeError(message)


def open_gui_loop() -> GuiLoop | None:
    """Return the loop that Qt drives in this thread, if there is one."""
    loop = _loops.get(threading.get_ident())
    return loop if loop is not None and not loop.is_closed() else None
