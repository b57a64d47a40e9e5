"""Ends of jobs, from threads to the loop: one wake-up for as many as have come."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Mailbox"]


class Mailbox:
    """Calls functions on the loop in the order in which threads posted them.

    Attributes:
        loop: The loop.
    """

    __slots__ = ("_calls", "_posted", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._posted = False

    def post(self, fn: Callable[..., object], *args: Any) -> None:
        """Have ``fn(*args)`` called on the loop; from any thread."""
        self._calls.append((fn, args))
        if not self._posted:
            self._posted = True
            try:
                self.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                # The loop is closed: this thread was abandoned at shutdown, and nobody
                # is left who could want its result.
                self._calls.clear()

    def _deliver(self) -> None:
        # Cleared before the calls are taken: a post in between wakes the loop once
        # too often, never once too seldom.
        self._posted = False
        calls = self._calls
        try:
            while calls:
                fn, args = calls.popleft()
                fn(*args)
        finally:
            if calls:  # one raised; those after it have their turn all the same
                self._posted = True
                self.loop.call_soon(self._deliver)
