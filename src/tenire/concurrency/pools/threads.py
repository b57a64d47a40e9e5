"""Threads for blocking functions: daemons, as many as admission lets run at once.

Not the loop's default executor: its threads are joined when the interpreter
exits, so one stuck function would keep the whole program from ending.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any

from tenire.concurrency.pools.verdicts import thread_died
from tenire.concurrency.reporting_thread import ReportingThread
from tenire.concurrency.waiting import until_gone

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.pools.mailbox import Mailbox

__all__ = ["Threads"]

_log = logging.getLogger("tenire.pools")


class Threads:
    """A pool that grows when every thread is busy.

    A thread that dies is replaced. Its job, if it had one, ends with an error.

    Attributes:
        fell: Called on the loop with the error that a thread died of.
        busy: Jobs that run or wait for a thread.
    """

    def __init__(self, mailbox: Mailbox, report: Callable[[Handle[Any], Any, BaseException | None], None]) -> None:
        self._mailbox = mailbox
        self._report = report
        self._jobs: queue.SimpleQueue[Handle[Any] | None] = queue.SimpleQueue()
        self._threads: dict[threading.Thread, Handle[Any] | None] = {}
        self._made = 0
        self._retiring = 0
        self._empty: asyncio.Future[None] | None = None
        self.busy = 0
        self.fell: Callable[[BaseException], object] = lambda error: _log.error("a thread died", exc_info=error)

    @property
    def size(self) -> int:
        """Number of threads."""
        return len(self._threads)

    def start(self, handle: Handle[Any]) -> None:
        """Run a task; on the loop's thread."""
        if self.busy >= len(self._threads) - self._retiring:
            self._grow()
        self.busy += 1
        self._jobs.put(handle)

    def _grow(self) -> None:
        self._made += 1
        thread = ReportingThread(self._serve, name=f"tenire-thread-{self._made}", fell=self._dying)
        self._threads[thread] = None
        try:
            thread.start()
        except RuntimeError:
            del self._threads[thread]
            if not self._threads:
                raise  # the system gives no thread at all; with one, the job only waits longer

    def _serve(self) -> None:
        me = threading.current_thread()
        while True:
            handle = self._jobs.get()
            if handle is None:
                self._mailbox.post(self._left, me)
                return
            self._threads[me] = handle
            value: Any = None
            error: BaseException | None = None
            if not handle.done():  # cancelled between the decision and here
                try:
                    assert handle.context is not None
                    value = handle.context.run(handle.fn, *handle.args)
                except BaseException as caught:  # noqa: BLE001 - the task's outcome, whatever it is
                    error = caught
            self._mailbox.post(self._finished, handle, value, error)
            self._threads[me] = None
            # An idle thread must not keep the last job's value alive.
            del handle, value, error

    def _finished(self, handle: Handle[Any], value: Any, error: BaseException | None) -> None:
        self.busy -= 1
        self._report(handle, value, error)

    def _dying(self, error: BaseException) -> None:
        self._mailbox.post(self._died, threading.current_thread(), error)

    def _died(self, thread: threading.Thread, error: BaseException) -> None:
        handle = self._threads.pop(thread, None)
        if handle is not None:
            self._finished(handle, None, thread_died(handle, error))
        while self.busy > len(self._threads) and self._empty is None:
            self._grow()  # for the jobs that wait
        self._tell_if_empty()
        self.fell(error)

    def retire(self, *, keep: int) -> int:
        """End threads that have nothing to do; on the loop's thread.

        Args:
            keep: How many of them stay.

        Returns:
            How many end.
        """
        retired = max(0, len(self._threads) - self._retiring - self.busy - keep)
        self._retiring += retired
        for _ in range(retired):
            self._jobs.put(None)
        return retired

    def _left(self, thread: threading.Thread) -> None:
        self._threads.pop(thread, None)
        self._retiring = max(0, self._retiring - 1)
        self._tell_if_empty()

    def _tell_if_empty(self) -> None:
        if self._empty is not None and not self._threads and not self._empty.done():
            self._empty.set_result(None)

    def tasks(self) -> dict[int | None, Handle[Any]]:
        """Return what the threads run, by the identifiers of those; from any thread."""
        return {thread.ident: handle for thread, handle in list(self._threads.items()) if handle is not None}

    def stuck(self) -> list[str]:
        """Return the names of the tasks whose functions have not returned."""
        return [handle.name for handle in list(self._threads.values()) if handle is not None]

    def abandoned(self) -> list[str]:
        """Return the names of the tasks that have ended but whose functions have not returned."""
        running = list(self._threads.values())
        return [handle.name for handle in running if handle is not None and handle.done()]

    async def aclose(self, grace: float) -> list[str]:
        """End the threads; return the names of tasks that are stuck in one.

        Args:
            grace: Seconds to wait for running functions at the most.
        """
        threads = list(self._threads)
        for _ in threads:
            self._jobs.put(None)
        if threads:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=grace)
        await until_gone(thread for thread in threads if thread not in self._threads)
        return self.stuck()
