"""A thread that serves what coroutines ask for, everything that waits at once.

For work that costs about the same whether it is done for one or for many, such as a commit
to a disk: what comes while it is busy goes into the next batch.

1. Whoever asks gets the answer in their own loop; one that is an exception is raised there.
   An error of the batch as a whole is raised for all.
2. Who is cancelled meanwhile gets no answer; the work is done all the same.
3. ``aclose`` lets the thread finish what was asked for, and waits for it to end.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tenire.concurrency.reporting_thread import ReportingThread
from tenire.concurrency.unbroken import unbroken
from tenire.concurrency.waiting import until_gone
from tenire.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["BatchThread"]

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class BatchThread(Generic[Asked, Answer]):
    """Serves batches; used from one event loop.

    Args:
        serve: Is given what was asked for, and returns as many answers; runs on the thread.
        name: Of the thread, for people.
        most: The most that it is given at once.
        gather: Returns for how many seconds to wait for more before a batch; asked on the thread.
    """

    def __init__(
        self,
        serve: Callable[[list[Asked]], Sequence[Answer]],
        *,
        name: str,
        most: int = 1000,
        gather: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._serve = serve
        self._gather = gather
        self._hurry = threading.Event()
        self._most = most
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Asked, asyncio.Future[Answer]] | None] = queue.SimpleQueue()
        self._ended = asyncio.Event()
        self._error: BaseException | None = None
        self._closed = False
        self._thread = ReportingThread(self._run, name=name, fell=self._fell)
        self._thread.start()

    def ask(self, what: Asked) -> asyncio.Future[Answer]:
        """Return a future with the answer.

        Raises:
            RejectedError: If it was closed.
        """
        if self._closed:
            message = f"{self._name} was closed, and takes nothing more"
            raise RejectedError(message) from self._error
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._queue.put((what, future))
        return future

    async def aclose(self) -> None:
        """Finish what was asked for, and end; calling it again does nothing more."""
        if not self._closed:
            self._closed = True
            self._hurry.set()
            self._queue.put(None)
        await unbroken(self._join())

    async def _join(self) -> None:
        await self._ended.wait()
        await until_gone([self._thread])  # it has nothing left to do

    def _run(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = self._next()
            if batch:
                asked, futures = zip(*batch, strict=True)
                self._answer(list(asked), futures)
        self._tell(self._ended.set)

    def _next(self) -> tuple[list[tuple[Asked, asyncio.Future[Answer]]], bool]:
        """Wait for something to do; return it, and whether more may come."""
        batch = []
        item = self._queue.get()
        if (seconds := self._gather()) > 0:
            self._hurry.wait(seconds)
        while item is not None:
            batch.append(item)
            if len(batch) == self._most:
                return batch, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _answer(self, asked: list[Asked], futures: Sequence[asyncio.Future[Answer]]) -> None:
        try:
            answers = self._serve(asked)
        except Exception as error:  # noqa: BLE001 - it is the answer
            self._tell(_fail_all, futures, error)
        else:
            self._tell(_answer_all, futures, answers)

    def _tell(self, fn: Callable[..., object], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(fn, *args)
        except RuntimeError:  # the loop was closed, and whoever waited there is gone
            self._closed = True

    def _fell(self, error: BaseException) -> None:
        self._error, self._closed = error, True
        self._tell(self._ended.set)


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
