"""A second copy of a call that is slow; the first good answer counts.

1. A copy is only sent if ``core.hedging`` says so, and the admission lets it in: it
   costs as much as any call.
2. Whichever is not needed any more is cancelled, and has ended before the result is
   there.
3. If one fails, the other one is waited for. If both do, the first call's error counts.
4. A copy that the admission has not let in when the first call fails is given up: what it
   waits for may be what the first call holds until this has ended.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from tenire.resilience.tasks import end

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tenire.core.hedging import Hedging

    Once = Callable[[], Coroutine[Any, Any, Any]]
    Copy = Callable[[Callable[[], None]], Coroutine[Any, Any, Any]]

__all__ = ["Hedge"]

_LOCK = threading.RLock()
"""Around all that is asked of a ``Hedging``. One for all of them: guards of several threads may share one."""


class Hedge:
    """Sends copies.

    Args:
        hedging: Decides when.

    Attributes:
        won: Copies that answered first.
    """

    __slots__ = ("_hedging", "won")

    def __init__(self, hedging: Hedging) -> None:
        self._hedging = hedging
        self.won = 0

    async def run(self, once: Once, copy: Copy, *, now: Callable[[], float], allowed: Callable[[], bool]) -> Any:
        """Return the first good answer.

        Args:
            once: Makes the call.
            copy: Makes it a second time, with an admission of its own; calls what it is given once that let it in.
            now: Tells the time in seconds.
            allowed: Whether copies may be sent at the moment.
        """
        hedging = self._hedging
        started = now()
        with _LOCK:
            slow_at = hedging.start(started)
        if slow_at is None:
            return await self._timed(once, started, now)
        let_in = asyncio.Event()
        tasks = [asyncio.create_task(self._timed(once, started, now), name="first call")]
        try:
            await asyncio.wait(tasks, timeout=slow_at - now())
            if not tasks[0].done() and allowed() and self._may_copy():
                tasks.append(asyncio.create_task(copy(let_in.set), name="second call"))
            winner = await _first_good(tasks, let_in)
            if winner is not tasks[0]:
                self.won += 1
                if not tasks[0].done():
                    self._note(now() - started)  # rule 3 of core.hedging
            return winner.result()
        finally:
            await end(tasks)

    async def _timed(self, once: Once, started: float, now: Callable[[], float]) -> Any:
        try:
            result = await once()
        except TimeoutError:
            self._note(now() - started)
            raise
        self._note(now() - started)
        return result

    def _may_copy(self) -> bool:
        with _LOCK:
            return self._hedging.copy()

    def _note(self, seconds: float) -> None:
        with _LOCK:
            self._hedging.end(seconds)


async def _first_good(tasks: list[asyncio.Task[Any]], let_in: asyncio.Event) -> asyncio.Task[Any]:
    """Wait until one has succeeded, or all that were let in have ended; return the one that counts."""
    pending = set(tasks)
    while pending:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done() and not task.cancelled() and task.exception() is None:
                return task
        if tasks[0].done() and not let_in.is_set():
            break
    return tasks[0]
