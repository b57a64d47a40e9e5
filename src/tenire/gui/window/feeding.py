"""The feed on a loop in a thread of its own, so that the window waits for nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from tenire.app.feed import Feed
from tenire.concurrency.loops import EventLoopManager

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from tenire.app.feed import Actions, View
    from tenire.concurrency.loops.spawned import Spawned

__all__ = ["PERIOD_S", "FeedThread"]

PERIOD_S = 0.02
"""Between two views: what changes waits for it, for its way, and for a frame, and is to be painted within 50 ms."""

T = TypeVar("T")


class FeedThread:
    """Follows the engine of a home until it is stopped.

    Args:
        home: The home.
        on_view: Called with each view, on the thread.
    """

    def __init__(self, home: Path, on_view: Callable[[View], object]) -> None:
        self._feed = Feed(home, period=PERIOD_S, on_view=on_view)
        # Without a watchdog: there is one loop, and who looks on does no work there.
        self._loops = EventLoopManager(stall_after=None)
        # Nor with uvloop: it would be 2 MB more for a few messages a second.
        self._loops.own_thread(kind="asyncio")
        self._living: Spawned[None] | None = None

    @property
    def actions(self) -> Actions:
        """What can be done; to be called by ``act``."""
        return self._feed.actions

    def start(self) -> None:
        """Begin."""
        self._loops.__enter__()
        self._living = self._loops.spawn(self._live, name="window feed")

    def act(self, action: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> Spawned[T]:
        """Call an action on the thread; what it returns can be awaited on any loop."""
        return self._loops.spawn(action, *arguments)

    def stop(self) -> None:
        """End; returns when the thread has."""
        if self._living is not None:
            self._living.cancel()
            self._living = None
            self._loops.__exit__(None, None, None)

    async def _live(self) -> None:
        async with self._feed:
            await asyncio.get_running_loop().create_future()
