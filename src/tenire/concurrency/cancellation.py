"""How a function on a thread learns that its task was cancelled: nobody can stop a thread from outside."""

from __future__ import annotations

import threading
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from tenire.concurrency.handle import Handle
from tenire.concurrency.holding import HOLDER
from tenire.concurrency.waiting import on_a_loop

if TYPE_CHECKING:
    from tenire.core.tasks import Task

__all__ = ["CancelToken", "cancel_token"]


class CancelToken:
    """Tells whether a task has ended, by being cancelled or by taking too long, while its function still runs.

    It may be handed on, for example to threads that the function starts. Made by
    ``cancel_token()``.
    """

    __slots__ = ("_handle", "_lock", "_set")

    def __init__(self, handle: Handle[Any] | None) -> None:
        self._handle = handle
        self._lock = threading.Lock()
        self._set: threading.Event | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the function should return; cheap enough for every turn of a loop."""
        return self._handle is not None and self._handle.settled

    def check(self) -> None:
        """Do nothing, or leave the function.

        Raises:
            asyncio.CancelledError: If it should return.
        """
        if self.cancelled:
            raise CancelledError

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until it is cancelled, at most ``timeout`` seconds; return whether it is.

        Without a timeout it sleeps for ever where nothing can be cancelled.

        Raises:
            RuntimeError: On the thread of a running loop, which must not be blocked.
        """
        if on_a_loop():
            message = "wait() would block the event loop; use: await asyncio.sleep(…), which cancelling ends"
            raise RuntimeError(message)
        return self._event().wait(timeout) or self.cancelled

    def _event(self) -> threading.Event:
        with self._lock:
            if self._set is None:
                self._set = event = threading.Event()
                if self._handle is not None:
                    if self._handle.settled:
                        event.set()
                    else:
                        self._handle.add_done_callback(lambda _: event.set())
            return self._set


def cancel_token() -> CancelToken:
    """Return the token of the task that calls; outside of one, a token that is never cancelled.

    In a worker process nobody needs one: the process is killed.
    """
    holder: Task | None = HOLDER.get()
    task = holder.root() if holder is not None else None
    return CancelToken(task if isinstance(task, Handle) else None)
