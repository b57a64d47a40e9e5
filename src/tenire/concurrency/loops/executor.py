"""The default executor of our own loops: what ``asyncio.to_thread`` runs on.

Threads of the library's own are joined when the interpreter exits, so one function
that never returns would keep the whole program from ending. These are daemons.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DaemonExecutor"]

P = ParamSpec("P")
T = TypeVar("T")

_Job = tuple["Future[Any]", "Callable[[], Any]"]


class DaemonExecutor(ThreadPoolExecutor):
    """Threads that end with the program, whatever they do.

    A ``ThreadPoolExecutor`` by type alone, since asyncio takes nothing else; the
    threads and the queue are its own.

    Args:
        name: Prefix of the threads' names.
        most: Threads at the most.
    """

    def __init__(self, name: str, most: int) -> None:
        super().__init__(max_workers=most, thread_name_prefix=name)
        self._name = name
        self._most = most
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._busy = 0
        self._ended = False
        self.threads: list[threading.Thread] = []

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function on a thread.

        Raises:
            RuntimeError: After ``shutdown``.
        """
        future: Future[T] = Future()
        with self._guard:
            if self._ended:
                message = f"the threads of {self._name!r} have been ended and take no new function ({fn!r})"
                raise RuntimeError(message)
            self._busy += 1
            if self._busy > len(self.threads) < self._most:
                self._grow()
            self._jobs.put((future, lambda: fn(*args, **kwargs)))
        return future

    def _grow(self) -> None:
        thread = threading.Thread(target=self._serve, name=f"{self._name}-{len(self.threads) + 1}", daemon=True)
        thread.start()
        self.threads.append(thread)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - the outcome, whatever it is
                    future.set_exception(error)
            with self._guard:
                self._busy -= 1
            del job, future, call  # an idle thread must not keep the last value alive

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no new function and end idle threads.

        Args:
            wait: Wait for the functions that run; a stuck one would be waited for ever.
            cancel_futures: Cancel what has not begun.
        """
        with self._guard:
            first, self._ended = not self._ended, True
        if cancel_futures:
            self._cancel_waiting()
        if first:
            for _ in self.threads:
                self._jobs.put(None)
        if wait:
            for thread in self.threads:
                thread.join()

    def _cancel_waiting(self) -> None:
        try:
            while True:
                job = self._jobs.get_nowait()
                if job is None:
                    self._jobs.put(None)
                    return
                job[0].cancel()
        except queue.Empty:
            return
