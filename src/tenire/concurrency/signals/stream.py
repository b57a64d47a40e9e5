"""Events to iterate over, in a coroutine or in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tenire.concurrency.signals.knocking import knock, running_loop
from tenire.concurrency.signals.subscriber import NOWHERE, Subscriber
from tenire.concurrency.waiting import acquire

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from tenire.concurrency.signals.subscriber import Hub
    from tenire.core.event_queue import QueuePolicy

__all__ = ["Inbox", "Stream"]

Event = TypeVar("Event")


class Inbox(Subscriber):
    """The hub's end of a stream; it does not know the stream, which may go at any time.

    Attributes:
        waiter: Wakes the one that waits for an event, who takes it out itself: an emitter that did,
            and was interrupted before it called it, would have nobody woken.
        woken: The waiter that was called last, and need not be called again.
    """

    __slots__ = ("waiter", "woken")

    def __init__(self, hub: Hub, event: type[Any], policy: QueuePolicy, capacity: int) -> None:
        super().__init__(hub, event, NOWHERE, policy, capacity)
        self.waiter: Callable[[], object] | None = None
        self.woken: Callable[[], object] | None = None

    def wake(self) -> None:
        """See ``Subscriber``."""
        waiter = self.waiter
        if waiter is None or waiter is self.woken:
            return
        try:
            waiter()
        except RuntimeError:  # another thread woke it just now; or its loop is closed, and it gone with it
            with self._hub.lock:
                if self.waiter is waiter:
                    self.waiter = None
        else:
            self.woken = waiter

    def end(self) -> None:
        """See ``Subscriber``."""
        super().end()
        self.wake()

    def take(self, waiter: Callable[[], object]) -> tuple[Any, ...]:
        """Return the event that came first, alone in a tuple; or none, and keep the waiter until one comes.

        Raises:
            StopIteration: If none will come any more.
            RuntimeError: If another one waits already.
            RejectedError: In a child process made by ``fork``, which no event reaches.
        """
        with self._hub.lock:
            if not self.queue.size:
                if self.ended:
                    self._hub.check()
                    raise StopIteration
                if self.waiter is not None:
                    message = "another one waits for this stream already; give each its own: signals.stream(…)"
                    raise RuntimeError(message)
                self.waiter = waiter
                taken: tuple[Any, ...] = ()
            else:
                taken = (self.queue.take(),)
        self.let_in()  # also if there was none: whoever took the last one may have been interrupted before this
        return taken


class Stream(AsyncIterator[Event], Iterator[Event], Generic[Event]):
    """The events of one type, from the moment in which it was made; see ``Signals.stream``.

    One coroutine, or one thread, iterates over it at a time. It ends when the signals
    are closed, after what was emitted before, or when it is closed itself. Nobody needs
    to: a stream that nobody holds any more gets no more events.
    """

    def __init__(self, hub: Hub, inbox: Inbox) -> None:
        self._hub = hub
        self._inbox = inbox

    @property
    def dropped(self) -> int:
        """Events that were dropped because too many waited."""
        return self._inbox.queue.dropped

    @property
    def waiting(self) -> int:
        """Events that wait to be taken."""
        return len(self._inbox.queue)

    def close(self) -> None:
        """End it, from any thread; what waits is dropped."""
        with self._hub.lock:
            self._inbox.queue.clear()
        self._hub.remove(self._inbox)

    # -- coroutines -------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        loop, inbox = asyncio.get_running_loop(), self._inbox
        while True:
            future, arrive = knock(loop)
            try:
                taken = inbox.take(arrive)
                if taken:
                    return taken[0]  # type: ignore[no-any-return]
                await future
            except StopIteration:
                raise StopAsyncIteration from None
            finally:
                # No function, at whose beginning another interrupt might come, and no lock: nobody
                # else puts it there.
                if inbox.waiter is arrive:
                    inbox.waiter = inbox.woken = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    # -- threads ----------------------------------------------------------

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        return self._next(None)

    def get(self, timeout: float | None = None) -> Event:
        """Return the next event, in a thread without a loop.

        Args:
            timeout: Seconds to wait at the most; ``None``: as long as it takes.

        Raises:
            TimeoutError: If none came in time.
            EOFError: If none will come any more.
            RuntimeError: On the thread of a running loop, which must not be blocked.
        """
        try:
            return self._next(timeout)
        except StopIteration:
            raise EOFError("the stream has ended") from None

    def _next(self, timeout: float | None) -> Event:
        if running_loop() is not None:
            message = "this would block the event loop; use: async for event in stream"
            raise RuntimeError(message)
        inbox = self._inbox
        while True:
            # A plain lock: an interrupt in the midst of setting an Event may leave that locked for ever.
            arrived = threading.Lock()
            arrived.acquire()
            arrive = arrived.release
            try:
                taken = inbox.take(arrive)
                if taken:
                    return taken[0]  # type: ignore[no-any-return]
                if not acquire(arrived, timeout=timeout):
                    raise TimeoutError(f"no event came within {timeout:g} s")
            finally:
                # No function, at whose beginning another interrupt might come, and no lock: nobody
                # else puts it there.
                if inbox.waiter is arrive:
                    inbox.waiter = inbox.woken = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._inbox.vanish()
