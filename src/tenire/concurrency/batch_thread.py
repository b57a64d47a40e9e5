"""A thread that serves what coroutines ask for, everything that waits at once.

For work that costs about the same whether it is done for one or for many, such as a commit
to a disk: what comes while it is busy goes into the next batch.

1. Whoever asks gets the answer in their own loop; one that is an exception is raised there.
   An error of the batch as a whole is raised for all.
2. Who is cancelled meanwhile gets no answer; the work is done all the same.
3. ``aclose`` lets the thread finish what was asked for, and waits for it to end.
4. If the thread dies, whoever waits is told so and of what, and whoever asks next gets a new one.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tenire.concurrency.reporting_thread import ReportingThread
from tenire.concurrency.unbroken import unbroken
from tenire.concurrency.waiting import until_gone
from tenire.errors import InternalError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["BatchThread"]

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_log = logging.getLogger("tenire.threads")


class BatchThread(Generic[Asked, Answer]):
    """Serves batches; used from one event loop.

    Args:
        serve: Is given what was asked for, and returns as many answers; runs on the thread.
        name: Of the thread, for people.
        most: The most that it is given at once.
        gather: Returns for how many seconds to wait for more before a batch; asked on the thread.
        failure: Makes the error, of a message, that is raised for those who wait for a thread that died.

    Attributes:
        deaths: How many threads have died so far. What they were doing then may be done or not.
    """

    def __init__(
        self,
        serve: Callable[[list[Asked]], Sequence[Answer]],
        *,
        name: str,
        most: int = 1000,
        gather: Callable[[], float] = lambda: 0.0,
        failure: Callable[[str], Exception] = RejectedError,
    ) -> None:
        self._serve = serve
        self._gather = gather
        self._failure = failure
        self._hurry = threading.Event()
        self._most = most
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Asked, asyncio.Future[Answer]] | None] = queue.SimpleQueue()
        self._taken: list[tuple[Asked, asyncio.Future[Answer]]] = []  # by the thread, and not answered yet
        self._ended = asyncio.Event()
        self._error: BaseException | None = None
        self._closed = False
        self._thread: ReportingThread | None = None
        self.deaths = 0
        self._start()

    def ask(self, what: Asked) -> asyncio.Future[Answer]:
        """Return a future with the answer.

        Raises:
            RejectedError: If it was closed.
        """
        if self._closed:
            message = f"{self._name} was closed, and takes nothing more"
            raise RejectedError(message)
        future: asyncio.Future[Answer] = self._loop.create_future()
        if not self._lives():
            try:
                self._start()
            except RuntimeError as error:
                _fail_all([future], self._failed(f"the thread {self._name!r} died, and no other can start", error))
                return future
        self._queue.put((what, future))
        return future

    async def aclose(self) -> None:
        """Finish what was asked for, and end; calling it again does nothing more."""
        if not self._closed:
            self._closed = True
            self._hurry.set()
            lives = self._lives()  # asked before the end is asked for: one that has ended since has not died
            self._queue.put(None)
            if not lives:
                self._ended.set()
        await unbroken(self._join())

    async def _join(self) -> None:
        await self._ended.wait()
        if self._thread is not None:
            await until_gone([self._thread])  # it has nothing left to do

    def _start(self) -> None:
        thread = ReportingThread(self._run, name=self._name, fell=self._fell)
        thread.start()
        self._thread = thread

    def _lives(self) -> bool:
        if self._thread is not None and not self._thread.is_alive():
            self._died(self._thread)  # it could not even say so
        return self._thread is not None

    def _died(self, thread: threading.Thread) -> None:
        """Take in that a thread is dead, or will be at once; on the loop."""
        if thread is not self._thread:
            return
        self._thread = None
        self.deaths += 1
        _log.error("the thread %r died; whoever asks next gets a new one", self._name, exc_info=self._error)
        waiting, self._taken = [future for _, future in self._taken], []
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is not None:
                waiting.append(item[1])
        message = (
            f"the thread {self._name!r} died of {self._error!r} before it answered; what was asked may be done or not"
        )
        _fail_all(waiting, self._failed(message, self._error))
        if self._closed:
            self._ended.set()

    def _failed(self, message: str, error: BaseException | None) -> Exception:
        failure = self._failure(message)
        failure.__cause__ = error
        return failure

    # -- on the thread ----------------------------------------------------

    def _run(self) -> None:
        going_on = True
        while going_on:
            going_on = self._take()
            if self._taken:
                self._answer()
        self._tell(self._ended.set)

    def _take(self) -> bool:
        """Wait for something to do, and take it; return whether more may come."""
        item = self._queue.get()
        while item is not None:
            self._taken.append(item)
            if len(self._taken) == 1 and (seconds := self._gather()) > 0:
                self._hurry.wait(seconds)
            if len(self._taken) == self._most:
                return True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return True
        return False

    def _answer(self) -> None:
        asked, futures = [one for one, _ in self._taken], [future for _, future in self._taken]
        try:
            answers = self._serve(asked)
            if len(answers) != len(asked):
                message = f"{self._name} was asked for {len(asked)} answers and gave {len(answers)}"
                raise InternalError(message)  # noqa: TRY301 - as any other failure of the batch
        except Exception as error:  # noqa: BLE001 - it is the answer
            self._tell(_fail_all, futures, error)
        else:
            self._tell(_answer_all, futures, answers)
        self._taken = []

    def _tell(self, fn: Callable[..., object], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(fn, *args)
        except RuntimeError:  # the loop was closed, and whoever waited there is gone
            self._closed = True

    def _fell(self, error: BaseException) -> None:
        self._error = error
        self._tell(self._died, threading.current_thread())


def _answer_all(futures: Sequence[asyncio.Future[Answer]], answers: Sequence[Answer]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def _fail_all(futures: Sequence[asyncio.Future[Any]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
