"""How many calls run at the same time, where no engine decides it.

1. At most ``limit`` calls hold a slot; with an ``AdaptiveLimit``, as many as it says.
2. A slot that is free goes to who waits longest, before anybody who comes later.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING

from tenire.core.concurrency_limit import AdaptiveLimit
from tenire.core.retrying import Kind
from tenire.errors import ConfigError
from tenire.resilience.failures import Judge, UnmadeError
from tenire.resilience.timing import time_of
from tenire.resilience.turns import LoopTurn

if TYPE_CHECKING:
    from types import TracebackType

    from tenire.clock import Clock
    from tenire.core.concurrency_limit import Token

__all__ = ["Bulkhead", "Slot"]

_NO_ANSWER = (asyncio.CancelledError, UnmadeError)


class Bulkhead:
    """Slots for calls; calling it gives an async context manager that holds one.

    Args:
        limit: A whole number, or an ``AdaptiveLimit`` that is told how the calls end.
        clock: For the ``AdaptiveLimit``; by default the running loop's.

    Attributes:
        inflight: Slots that are held.

    Raises:
        ConfigError: If the limit is impossible.
    """

    __slots__ = ("_clock", "_judge", "_limit", "_lock", "_queue", "inflight")

    def __init__(self, limit: int | AdaptiveLimit, *, clock: Clock | None = None) -> None:
        if not isinstance(limit, AdaptiveLimit) and (
            isinstance(limit, bool) or not isinstance(limit, int) or limit < 1
        ):
            message = f"limit must be a whole number of calls from 1, or an AdaptiveLimit, got {limit!r}"
            raise ConfigError(message, key="limit")
        self._limit = limit
        self._clock = clock
        self._judge = Judge()
        self._lock = threading.Lock()
        self._queue: deque[LoopTurn[bool]] = deque()
        self.inflight = 0

    @property
    def limit(self) -> int:
        """Calls that may run now."""
        return self._limit if isinstance(self._limit, int) else self._limit.limit

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return len(self._queue)

    def __call__(self) -> Slot:
        """Return an async context manager that waits for a slot and holds it."""
        return Slot(self)

    async def acquire(self) -> Token | None:
        """Wait for a slot; return what ``release`` has to be given."""
        with self._lock:
            free = not self._queue and self.inflight < self.limit
            if free:
                self.inflight += 1
        if not free:
            await self._wait()
        if isinstance(self._limit, int):
            return None
        with self._lock:
            token = self._limit.on_start(time_of(self._clock)(), self.inflight)
            self._grant()  # a start may raise the limit
            return token

    async def _wait(self) -> None:
        turn: LoopTurn[bool] = LoopTurn()
        with self._lock:
            self._queue.append(turn)
        try:
            while turn.granted is None:
                await turn.wait()
        except BaseException:
            with self._lock:
                if turn.granted is None:
                    self._queue.remove(turn)
                else:
                    self.inflight -= 1
                    self._grant()
            raise

    def release(self, token: Token | None, error: BaseException | None) -> None:
        """Give a slot back; ``error`` is how its call ended."""
        with self._lock:
            self.inflight -= 1
            # A call that was broken off, or not made, took no time that says anything.
            if token is not None and not isinstance(self._limit, int) and not isinstance(error, _NO_ANSWER):
                self._limit.on_end(token, time_of(self._clock)(), ok=error is None or not self._refused(error))
            self._grant()

    def _refused(self, error: BaseException) -> bool:
        return isinstance(error, TimeoutError) or self._judge(error).kind is Kind.OVERLOAD

    def _grant(self) -> None:
        queue = self._queue
        while queue and self.inflight < self.limit:
            turn = queue.popleft()
            turn.granted = True
            self.inflight += turn.poke()


class Slot:
    """One call's slot; made by ``Bulkhead``."""

    __slots__ = ("_bulkhead", "_token")

    def __init__(self, bulkhead: Bulkhead) -> None:
        self._bulkhead = bulkhead
        self._token: Token | None = None

    async def __aenter__(self) -> None:
        self._token = await self._bulkhead.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bulkhead.release(self._token, error)
