"""A loop in a thread of its own, from its start to the last of its tasks.

1. The thread ends when its main coroutine has ended, or was told to stop.
2. Nothing outlives it: tasks are cancelled, async generators closed, functions on
   threads waited for, each for a bounded time. What goes on is named and given up; so is
   the thread itself, if its loop does not come round any more. It still closes if it does.
3. A thread that nobody closed is closed when the interpreter exits.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.blocking import stuck_functions
from tenire.concurrency.daemon_executor import DaemonExecutor, names_of
from tenire.concurrency.loops.ending import end_tasks, give_up
from tenire.concurrency.loops.kinds import LoopKind, loop_factory
from tenire.concurrency.loops.owner import LoopOwner
from tenire.concurrency.loops.patience import ROUND_S, Patience
from tenire.concurrency.loops.tracking import thread_stack
from tenire.concurrency.waiting import until_gone, wait_set
from tenire.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType
    from typing import Self

    from tenire.clock import Clock

__all__ = ["LoopThread"]

_MAIN_GRACE_S = 5.0
"""What the main coroutine may take to end when it is cancelled: it closes a whole engine."""
_AT_EXIT_S = 2.0
_FILES = 8
"""Descriptors that a loop of any kind opens when it is made, at the most."""
_LAST_WORD_S = 1.0

_log = logging.getLogger("tenire.loops")


class LoopThread(LoopOwner):
    """The owner of a loop that it runs itself.

    As a context manager, ``with`` or ``async with``, it starts on entering if it has
    not yet, and closes on leaving.

    Args:
        name: Of the loop and its thread, for people.
        clock: Where time comes from.
        kind: See ``loop_factory``.

    Attributes:
        stopping: Set once it was told to stop; an event of its loop.
        abandoned: Whether its thread was given up, since its loop did not come round any more.
    """

    def __init__(self, name: str, clock: Clock, *, kind: LoopKind = "auto") -> None:
        super().__init__(name, clock)
        self._factory = loop_factory(kind)
        self._gone = threading.Event()
        self._ended: Future[None] = Future()
        self._running: threading.Thread | None = None
        # For functions of the user's: the engine has an executor of its own for its own.
        self._executor = DaemonExecutor(f"tenire-{name}-thread", min(32, (os.cpu_count() or 1) + 4), keep=True)
        self._failure: BaseException | None = None
        self.stopping = asyncio.Event()
        self.abandoned = False
        self._unnamed = threading.Lock()  # held from when it was given up
        self._unbegun = threading.Lock()  # held from when its thread runs it, or never will
        self.at_exit: Callable[[], object] = self.stop

    def start(self, main: Callable[[], Coroutine[Any, Any, object]] | None = None) -> None:
        """Start the thread; calls are taken at once.

        Args:
            main: What it runs; default: it waits until it is told to stop.

        Raises:
            ComponentError: If the system has no room for one more loop or thread.
        """
        try:
            _check_files()
            loop = self._factory()
        except OSError as error:
            raise self._unstartable(error) from error
        loop.set_default_executor(self._executor)
        thread = threading.Thread(target=self._live, args=(loop, main or self.stopping.wait), daemon=True)
        thread.name = f"tenire-loop-{self.name}"
        self.opened(loop)
        self._running = thread
        _alive.add(self)
        try:
            thread.start()
        except BaseException as error:
            if not self._unbegun.acquire(blocking=False):  # Ctrl-C, and it runs all the same
                self.stop()
                raise
            self._running = None
            _alive.discard(self)
            self.closed("its thread could not be started")
            loop.close()
            if isinstance(error, RuntimeError):
                raise self._unstartable(error) from error
            raise

    def adopt(self) -> asyncio.AbstractEventLoop:
        """Return its own loop, on which the caller must run."""
        if asyncio.get_running_loop() is not self.loop:
            message = f"the loop {self.name!r} has a thread of its own and cannot be taken on by another one"
            raise RuntimeError(message)
        return self.loop

    def _unstartable(self, error: Exception) -> ComponentError:
        message = f"the loop {self.name!r} needs a few files and a thread, and the system gives none: {error}"
        hint = "close files or end threads that this program does not need, or raise its limits (ulimit -n, ulimit -u)"
        return ComponentError(message, component=self.name, hint=hint)

    # -- the end ----------------------------------------------------------

    def stop(self) -> None:
        """Tell it to end, from any thread, and do not wait."""
        self.interrupt(self.stopping.set)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until its thread has ended; return whether it has.

        Raises:
            RuntimeError: On its own thread.
            BaseException: What ended its main coroutine.
        """
        self.refuse_on_thread("join", "`await …aclose()` on another loop")
        if self._running is None:
            return True
        # Not `Thread.join` alone: up to Python 3.12, Ctrl-C in it makes the thread look ended (bpo-45274).
        if not wait_set(self._gone, timeout):
            return False
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return True

    def end(self, meanwhile: Callable[[], object] | None = None, *, every: float | None = None) -> bool:
        """Wait until its thread, which was told to end, has ended, and give it up if its loop stands still.

        Args:
            meanwhile: Called again and again.
            every: After so many seconds; default: four times a second.

        Returns:
            Whether it has ended; raises as ``join`` does.
        """
        patience, every = Patience(self), every or ROUND_S
        while not self.abandoned:
            if self.join(every):
                return True
            if meanwhile is not None:
                meanwhile()
            if patience.over(every):
                self.abandon()
        return not self.is_alive()

    def abandon(self) -> None:
        """Name its thread, and where it stands, as one that does not end; nobody waits for it any more."""
        if not self._unnamed.acquire(blocking=False):  # several may wait for it: the first one tells
            return
        self.abandoned = True
        _alive.discard(self)
        _log.warning(
            "the thread of the loop %r does not end; given up. It stands at:\n  %s",
            self.name,
            "\n  ".join(thread_stack(self.thread)) or "(unknown)",
        )
        self.given_up("its thread did not end and was given up")

    def leave(self) -> None:
        """Have nobody wait for its thread, which was told to end, not even the interpreter when it exits."""
        _alive.discard(self)

    def close(self) -> None:
        """Cancel what runs on it, end its thread and wait for that; doing it again does nothing.

        A thread that stands in a call that blocks is given up after two seconds, and named in the log.

        Raises:
            RuntimeError: On its own thread, where ``aclose`` is the way.
        """
        self.refuse_on_thread("close", "`await …aclose()`")
        self.hurry()
        self.stop()
        self.end()

    async def aclose(self) -> None:
        """Close it; on its own loop the thread ends a moment later, on another one it is waited for."""
        if self.on_thread():
            await super().aclose()
            self.stopping.set()
        elif self._running is not None:
            self.hurry()
            self.stop()
            if await self._ends():
                await until_gone([self._running], _LAST_WORD_S)
                self.join()

    async def _ends(self) -> bool:
        """Do as ``end`` does, on another loop."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def tell(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # that loop is closed by now: it was given up
                loop.call_soon_threadsafe(ended.set)

        self._ended.add_done_callback(tell)
        patience = Patience(self)
        while not self.abandoned:
            try:
                async with asyncio.timeout(ROUND_S):
                    await ended.wait()
            except TimeoutError:
                if patience.over(ROUND_S):
                    self.abandon()
            else:
                return True
        return not self.is_alive()

    # -- the thread -------------------------------------------------------

    def _live(self, loop: asyncio.AbstractEventLoop, main: Callable[[], Coroutine[Any, Any, object]]) -> None:
        if not self._unbegun.acquire(blocking=False):  # whoever started it was interrupted, and has closed it
            return
        self.runs_on_this_thread()
        asyncio.set_event_loop(loop)
        try:
            task = loop.create_task(main(), name=f"{self.name} main")
            try:
                loop.run_until_complete(task)
            except BaseException as error:  # noqa: BLE001 - raised again by whoever joins
                self._failure = error
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(self._finish(task))
        finally:
            self.closed()
            asyncio.set_event_loop(None)
            loop.close()
            self._thread = 0  # another thread may get this one's number
            if self._engine is not None:
                self._engine.lost("it was given up when its loop ended")
            _alive.discard(self)
            self._gone.set()
            self._ended.set_result(None)

    async def _finish(self, main: asyncio.Task[Any]) -> None:
        """End everything that is left on the loop; rule 2."""
        if not main.done():  # an interrupt went through the loop itself
            main.cancel()
            await asyncio.wait([main], timeout=_MAIN_GRACE_S)
        await super().aclose()
        for task in await end_tasks(
            lambda: asyncio.all_tasks(self.loop), grace=self._grace(), cancel=asyncio.Task.cancel
        ):
            give_up(task)
        try:
            async with asyncio.timeout(self._grace()):
                await self.loop.shutdown_asyncgens()
        except TimeoutError:
            _log.warning("async generators on the loop %r did not end; given up", self.name)
        self._executor.shutdown(wait=False, cancel_futures=True)
        stuck = await stuck_functions(self._grace())
        await until_gone(self._executor.threads, self._grace())
        stuck += names_of(self._executor.running())
        if stuck:
            _log.warning("given up, did not return: %s", ", ".join(stuck))
        await asyncio.sleep(0)  # transports that were closed say so in a turn of their own

    def forked(self) -> None:
        """See ``forks``."""
        super().forked()
        self._running = None  # a child has no threads but its own
        _alive.discard(self)

    def is_alive(self) -> bool:
        """Return whether its thread has not ended."""
        return self._running is not None and not self._gone.is_set()

    @property
    def over(self) -> bool:
        """Whether its thread has ended, and nobody is left to be told of a failure."""
        return self._gone.is_set() and self._failure is None

    # -- context managers --------------------------------------------------

    def __enter__(self) -> Self:
        if self._running is None:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


_alive: weakref.WeakSet[LoopThread] = weakref.WeakSet()


def _close_all() -> None:
    """End what nobody closed; rule 3. All have the same time: each on its own would add up."""
    left = list(_alive)
    for thread in left:
        thread.at_exit()
    asked = [(thread, Patience(thread)) for thread in left]
    _join_all(left, _AT_EXIT_S)
    for thread, patience in asked:
        if thread.is_alive() and patience.over(_AT_EXIT_S):
            thread.abandon()
    # What still comes round may have waited for one of those, as an engine does for its other loops.
    left = [thread for thread in left if thread.is_alive() and not thread.abandoned]
    _join_all(left, _LAST_WORD_S)
    for thread in left:
        if thread.is_alive():
            thread.abandon()


def _join_all(threads: list[LoopThread], seconds: float) -> None:
    until = SYSTEM_CLOCK.now() + seconds
    for thread in threads:
        with contextlib.suppress(BaseException):  # nobody is left to be told
            thread.join(timeout=max(0.0, until - SYSTEM_CLOCK.now()))


atexit.register(_close_all)


def _check_files() -> None:
    """Raise ``OSError`` unless there is room for a loop's files: one that is made by half complains when it goes."""
    taken: list[int] = []
    try:
        for _ in range(_FILES):
            taken.append(os.open(os.devnull, os.O_RDONLY))  # noqa: PERF401 - those before an error must be closed
    finally:
        for fd in taken:
            os.close(fd)
