"""What another thread gets for a coroutine that it starts on a loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tenire.concurrency.loops.requests import Request
from tenire.concurrency.waiting import in_slices

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from tenire.concurrency.loops.portal import Portal

__all__ = ["Spawned", "SpawnedRequest"]

T = TypeVar("T")

_log = logging.getLogger("tenire.loops")


class Spawned(concurrent.futures.Future[T]):
    """What ``spawn`` returns: wait for it with ``result()``, or await it on any loop.

    Cancelling it cancels what it stands for, and is true at once: what is cancelled
    may still clean up on its loop. A failure that nobody looks at is logged.

    Attributes:
        name: Of what was spawned.
        request: What it stands for, until that has ended.
    """

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.name = request.name
        self.request: Request | None = request
        self._seen = False

    def cancel(self) -> bool:
        """Cancel it; return whether there was anything to cancel."""
        if not super().cancel():
            return False
        request = self.request
        if request is not None:
            request.give_up()
        return True

    def result(self, timeout: float | None = None) -> T:
        """Wait for the value.

        Raises:
            RuntimeError: On the loop's own thread before it has ended; there, ``await`` it.
            TimeoutError: If it has not ended in time. It goes on.
        """
        self._seen = True
        self._wait("result", timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the exception, or ``None``; raises as ``result`` does."""
        self._seen = True
        self._wait("exception", timeout)
        return super().exception(0)

    def add_done_callback(self, fn: Callable[[concurrent.futures.Future[T]], object]) -> None:
        """Call ``fn(future)`` once it has ended, on whatever thread that is."""
        self._seen = True
        super().add_done_callback(fn)

    def _wait(self, name: str, timeout: float | None) -> None:
        if self.done():
            return
        request = self.request
        if request is not None:
            request.portal.refuse_on_thread(name, "`await` the future")
        in_slices(self._ended, timeout)

    def _ended(self, timeout: float | None) -> bool:
        # Not `concurrent.futures.wait`: for that one, what was cancelled has ended only when its loop says so.
        with self._condition:
            return self._condition.wait_for(self.done, timeout)

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self).__await__()

    def __del__(self) -> None:
        if not self._seen and self.done() and not self.cancelled() and (error := self._exception) is not None:
            _log.error("%r failed on its loop and nobody looked: %s: %s", self.name, type(error).__name__, error)


class SpawnedRequest(Request, Generic[T]):
    """A request with a future.

    Attributes:
        future: What whoever asked holds.
    """

    __slots__ = ("future",)

    def __init__(
        self,
        portal: Portal,
        what: Callable[..., Any] | Awaitable[Any],
        args: tuple[Any, ...],
        name: str | None,
    ) -> None:
        super().__init__(portal, what, args, name)
        self.future: Spawned[T] = Spawned(self)

    def _settle(self, value: Any, error: BaseException | None) -> None:
        future = self.future
        future.request = None  # or the two would wait for the garbage collector
        if isinstance(error, concurrent.futures.CancelledError):
            concurrent.futures.Future.cancel(future)
        if not future.set_running_or_notify_cancel():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)

    def done(self) -> bool:
        """See ``Request``."""
        return self.future.done()
