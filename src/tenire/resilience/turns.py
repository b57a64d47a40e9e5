"""Somebody who stands in a queue, on an event loop or on a thread, until it is their turn.

Whoever gives the turn may stand on another loop or another thread.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Generic, Protocol, TypeVar

__all__ = ["LoopTurn", "ThreadTurn", "Turn"]

Granted = TypeVar("Granted")


class Turn(Protocol[Granted]):
    """One that waits.

    Attributes:
        granted: What it waited for; ``None`` until it has it.
    """

    granted: Granted | None

    def poke(self) -> bool:
        """Have it look again; return whether anybody is there to look."""
        ...


class LoopTurn(Generic[Granted]):
    """One that waits on an event loop; made on it."""

    __slots__ = ("_future", "_loop", "granted")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] | None = None
        self.granted: Granted | None = None

    async def wait(self, seconds: float = float("inf")) -> None:
        """Wait until it is poked, for so many seconds at the most."""
        self._future = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._wake) if seconds < float("inf") else None
        try:
            await self._future
        finally:
            self._future = None
            if timer is not None:
                timer.cancel()

    def poke(self) -> bool:
        """Have it look again."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._wake()
            return True
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # its loop was closed, and whoever waited there is gone
            return False
        return True

    def _wake(self) -> None:
        # Without a future it is not waiting: it will look before it does.
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class ThreadTurn(Generic[Granted]):
    """One that waits on a thread, and blocks it."""

    __slots__ = ("_event", "granted")

    def __init__(self) -> None:
        self._event = threading.Event()
        self.granted: Granted | None = None

    def wait(self, seconds: float = float("inf")) -> None:
        """Wait until it is poked, for so many seconds at the most."""
        self._event.wait(min(seconds, threading.TIMEOUT_MAX))
        self._event.clear()

    def poke(self) -> bool:
        """Have it look again."""
        self._event.set()
        return True
