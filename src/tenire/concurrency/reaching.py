"""The loop of an engine, as other threads reach it, and what they learn when nobody runs it any more."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tenire.concurrency.loops.portal import Portal

__all__ = ["Reaching"]


class Reaching:
    """Calls functions on the engine's loop from any thread.

    Attributes:
        loop: The loop.
        portal: The way into it.
        thread: Identifier of its thread; 0 once it was closed without a word.
        gone: Why no task that has not ended ever will, in words that follow its name; empty as long as one may.
        given_up: Why nobody waits elsewhere for a task that has not ended, though it may yet; empty as long as one may.
        waiting_elsewhere: Wakes those that wait for tasks on other threads and loops.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, portal: Portal) -> None:
        self.loop = loop
        self.portal = portal
        self.thread = threading.get_ident()
        self.gone = ""
        self.given_up = ""
        self.waiting_elsewhere: set[Callable[[], object]] = set()

    def on_own_thread(self) -> bool:
        """Return whether the caller is on the loop's thread."""
        return threading.get_ident() == self.thread

    def on_loop(self, fn: Callable[..., object], *args: object) -> bool:
        """Call ``fn`` on the loop; at once if this is its thread.

        Returns:
            False if nobody runs the loop any more: then nothing there will ever end.
        """
        if self.on_own_thread():
            fn(*args)
            return True
        if self.gone:
            return False
        try:
            self.loop.call_soon_threadsafe(fn, *args)
        except RuntimeError:  # the loop is closed
            self.reachable()
            return False
        return True

    def reachable(self) -> bool:
        """Return whether what has not ended still can; notices a loop that was closed without a word."""
        if not self.gone and self.loop.is_closed():
            self.portal.lost("its loop was closed while the engine was still open")
        return not self.gone

    def stands_still(self, why: str) -> None:
        """Take in that the loop does not come round, and leave nobody waiting elsewhere; from any thread.

        If it does come round, its tasks end like any other.
        """
        self.given_up = f"is not waited for any more, since its loop stands still: {why}"
        self._wake_elsewhere()

    def lost(self, why: str) -> None:
        """Take in that nobody runs the loop any more, and wake those who wait elsewhere; from any thread.

        The tasks themselves are settled by whoever asks: a waiter that is only just coming
        looks here after it has told that it waits, so either sees the other.
        """
        self.gone = f"cannot end any more: {why}"
        if self.loop.is_closed():
            self.thread = 0  # what was its thread is one like any other now
        self._wake_elsewhere()

    def _wake_elsewhere(self) -> None:
        for wake in list(self.waiting_elsewhere):
            wake()
