"""Threads for blocking functions that never keep a program from ending.

Threads of the library's own are joined when the interpreter exits, and those of a loop's
default executor when ``asyncio.run`` ends, so one function that never returns would keep
the whole program from ending. These are daemons.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import queue
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["DaemonExecutor", "Job", "names_of"]

P = ParamSpec("P")
T = TypeVar("T")

_AT_EXIT_S = 0.1
"""What functions that still run may take at the exit of the interpreter, those that were given up left out."""

_log = logging.getLogger("tenire.loops")


class Job(Future[T]):
    """A function on its way to a result.

    Attributes:
        call: Calls it.
        abandoned: Whether nobody waits for it any more, though it goes on.
        named: Whether it has been told of as one that does not return.
    """

    def __init__(self, call: Callable[[], T]) -> None:
        super().__init__()
        self.call = call
        self.abandoned = False
        self.named = False

    def cancel(self) -> bool:
        """Cancel it if it has not begun; otherwise nobody waits for it from now on."""
        cancelled = super().cancel()
        self.abandoned = not cancelled
        return cancelled

    @property
    def name(self) -> str:
        """The function's name, with its module."""
        fn: Any = self.call
        while isinstance(fn, functools.partial):
            # A context's ``run`` stands before the function that is meant.
            fn = next(iter(fn.args), fn.func) if getattr(fn.func, "__name__", "") == "run" else fn.func
        return f"{getattr(fn, '__module__', None) or '?'}.{getattr(fn, '__qualname__', type(fn).__name__)}"


class DaemonExecutor(ThreadPoolExecutor):
    """Threads that end with the program, whatever they do.

    A ``ThreadPoolExecutor`` by type alone, since asyncio takes nothing else; the
    threads and the queue are its own.

    Args:
        name: Prefix of the threads' names.
        most: Threads at the most; as many again for functions that nobody waits for any more.
        keep: Whether threads that have nothing to do stay until ``shutdown``; otherwise
            they end, and nobody has to end them.

    Attributes:
        threads: Those that there are.
        at_exit: Seconds that functions may take yet when the interpreter exits.
    """

    def __init__(self, name: str, most: int, *, keep: bool) -> None:
        super().__init__(max_workers=most, thread_name_prefix=name)
        self._name = name
        self._most = most
        self._keep = keep
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._busy = 0
        self._made = 0
        self._ended = False
        self._running: set[Job[Any]] = set()
        self.at_exit = _AT_EXIT_S
        self.threads: list[threading.Thread] = []
        _all.add(self)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function on a thread.

        Raises:
            RuntimeError: After ``shutdown``, or if the system gives no thread at all.
        """
        job = Job(functools.partial(fn, *args, **kwargs))
        with self._guard:
            if self._ended:
                message = f"the threads of {self._name!r} have been ended and take no new function ({fn!r})"
                raise RuntimeError(message)
            left = sum(job.abandoned for job in list(self._running))
            if self._busy + 1 > len(self.threads) < self._most + min(left, self._most):
                self._grow()
            self._busy += 1
            self._jobs.put(job)
        return job

    def _grow(self) -> None:
        self._made += 1
        thread = threading.Thread(target=self._serve, name=f"{self._name}-{self._made}", daemon=True)
        self.threads.append(thread)
        try:
            thread.start()
        except RuntimeError:
            self.threads.remove(thread)
            if not self.threads:
                raise  # with one, the function only waits longer

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            if job.set_running_or_notify_cancel():
                self._running.add(job)
                try:
                    value = job.call()
                except BaseException as error:  # noqa: BLE001 - the outcome, whatever it is
                    self._done()
                    self._running.discard(job)
                    job.set_exception(_carriable(error))
                else:
                    self._done()
                    self._running.discard(job)
                    job.set_result(value)
                    del value
            else:
                self._done()
            del job  # an idle thread must not keep the last value alive

    def _next(self) -> Job[Any] | None:
        if self._keep:
            return self._jobs.get()
        with self._guard:  # whoever submits something now finds this thread there, or gone
            try:
                return self._jobs.get_nowait()
            except queue.Empty:
                self.threads.remove(threading.current_thread())
                return None

    def _done(self) -> None:
        with self._guard:
            self._busy -= 1

    def running(self) -> list[Job[Any]]:
        """Return the functions that have begun and not returned; from any thread."""
        return list(self._running)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no new function and end idle threads.

        Args:
            wait: Wait for the functions that run; a stuck one would be waited for ever.
            cancel_futures: Cancel what has not begun.
        """
        with self._guard:
            first, self._ended = not self._ended, True
            threads = list(self.threads)
        if cancel_futures:
            self._cancel_waiting()
        if first and self._keep:
            for _ in threads:
                self._jobs.put(None)
        if wait:
            for thread in threads:
                thread.join()

    def _cancel_waiting(self) -> None:
        try:
            while True:
                job = self._jobs.get_nowait()
                if job is None:
                    self._jobs.put(None)
                    return
                job.cancel()
                self._done()
        except queue.Empty:
            return


def names_of(stuck: Iterable[Job[Any]]) -> list[str]:
    """Return the names of functions that are about to be told of; nobody else tells of them again."""
    names = []
    for job in stuck:
        job.named = True
        names.append(job.name)
    return sorted(names)


def _carriable(error: BaseException) -> BaseException:
    """Return what asyncio's futures can hold: on 3.11 they refuse ``StopIteration``, and who waits would for ever."""
    if not isinstance(error, StopIteration):
        return error
    carried = RuntimeError("what ran on the thread raised StopIteration")
    carried.__cause__ = error
    return carried


_all: weakref.WeakSet[DaemonExecutor] = weakref.WeakSet()


def _name_what_is_left() -> None:
    """Give what still runs a moment, and name what does not return; no loop is left to do so."""
    left = {job: executor.at_exit for executor in list(_all) for job in executor.running() if not job.named}
    wait(left, timeout=max(left.values(), default=0.0))
    stuck = names_of(job for job in left if not job.done())
    if stuck:
        _log.warning("given up, did not return: %s", ", ".join(stuck))


atexit.register(_name_what_is_left)

if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_all.clear)  # the child has none of the threads
