"""The owner of one loop: the way into it, what runs on it, and its end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from tenire.concurrency.handle import Handle
from tenire.concurrency.loops.ending import end_tasks, give_up
from tenire.concurrency.loops.portal import Portal
from tenire.concurrency.loops.state import LoopState
from tenire.concurrency.loops.tracking import TrackedTask, origin_of, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

    from tenire.clock import Clock
    from tenire.concurrency.loops.requests import Request

__all__ = ["GRACE_S", "LoopOwner"]

GRACE_S = 0.5
"""Seconds that cancelled tasks may take to end before they are given up, by name."""
_LEAST_GRACE_S = 0.02
"""What they get of that if others have used it up, and the owner was told to hurry."""

_log = logging.getLogger("tenire.loops")


class LoopOwner(Portal):
    """A loop that somebody else runs, taken on as it runs: of ``asyncio.run``, a notebook, a test.

    The loop goes on when this closes. If it is the loop that ends first, that is
    noticed, and whatever uses it is closed as its last act.

    Args:
        name: Of the loop, for people.
        clock: Where time comes from.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        super().__init__(name, clock)
        self._engine: Any = None
        self._left_open: Callable[[], Awaitable[object]] | None = None
        self._guard: AsyncGenerator[None, None] | None = None
        self._give_up_at: float | None = None

    def adopt(self) -> asyncio.AbstractEventLoop:
        """Take on the running loop of this thread.

        Raises:
            InternalError: If it had a loop before.
        """
        loop = asyncio.get_running_loop()
        self.opened(loop)
        self.runs_on_this_thread()
        self._guard = _until_the_loop_ends(self)
        _step(self._guard.__anext__())
        return loop

    def serve(self, engine: Any, *, left_open: Callable[[], Awaitable[object]]) -> None:
        """Take in whose tasks run on the loop.

        Args:
            engine: The orchestrator, which the handles of its tasks name.
            left_open: Closes the engine; called if the loop ends before it.
        """
        self._engine, self._left_open = engine, left_open

    # -- looking ----------------------------------------------------------

    def tasks(self) -> list[TrackedTask]:
        """Return the unfinished tasks of the loop; from any thread, as they are in this instant."""
        current = asyncio.current_task(self.loop)
        return [self._tracked(task, current) for task in asyncio.all_tasks(self.loop)]

    def orphans(self) -> list[TrackedTask]:
        """Return tasks that were started by a task of this engine, or a call, that has ended; as ``tasks`` does."""
        current = asyncio.current_task(self.loop)
        found = [self._tracked(task, current) for task in self._orphaned()]
        return [tracked for tracked in found if tracked.orphan]  # another thread's look may find it ended since

    def _tracked(self, task: asyncio.Task[Any], current: asyncio.Task[Any] | None) -> TrackedTask:
        origin = origin_of(task)
        began = None if origin is None else origin.started_at if isinstance(origin, Handle) else origin.since
        return TrackedTask(
            name=task.get_name(),
            owner=None if origin is None else origin.name,
            age=None if began is None else max(0.0, self.clock.now() - began),
            state=state_of(task, current),
            orphan=origin is not None and _outlived(origin, task),
            task=task,
        )

    def _orphaned(self) -> Iterable[asyncio.Task[Any]]:
        for task in asyncio.all_tasks(self.loop):
            origin = origin_of(task)
            if origin is not None and self._own(origin) and _outlived(origin, task):
                yield task

    def _own(self, origin: Handle[Any] | Request) -> bool:
        return origin.orchestrator is self._engine if isinstance(origin, Handle) else origin.portal is self

    # -- the end ----------------------------------------------------------

    def hurry(self, until: float | None = None) -> float:
        """Give all that is cancelled from now on half a second together, instead of one after the other.

        Args:
            until: When that is over, seconds of the clock, if something else has begun to end already.

        Returns:
            When it is over; being told again changes nothing.
        """
        if self._give_up_at is None:
            self._give_up_at = self.clock.now() + GRACE_S if until is None else until
        return self._give_up_at

    def _grace(self) -> float:
        """Return the seconds that what is cancelled now may take to end."""
        if self._give_up_at is None:
            return GRACE_S
        return max(_LEAST_GRACE_S, self._give_up_at - self.clock.now())

    async def aclose(self) -> None:
        """Refuse new calls, cancel those that run and what they or tasks left behind, and close; on the loop."""
        if self.state is LoopState.CLOSED:
            return
        if self._loop is None:  # it never had one
            self.closed()
            return
        self.drain()
        for task in await end_tasks(lambda: list(self.running), grace=self._grace(), cancel=asyncio.Task.cancel):
            give_up(task)
        for task in await end_tasks(lambda: list(self._orphaned()), grace=self._grace(), cancel=self._end_orphan):
            give_up(task)
        self.closed()
        self._leave_loop()

    def _leave_loop(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            _step(guard.aclose())

    async def loop_ends(self) -> None:
        """Close whatever still uses the loop, which is about to be closed."""
        self._guard = None
        if self.state in (LoopState.NEW, LoopState.CLOSED):
            return
        _log.warning("the loop %r ends while the engine on it is still open; the engine is closed", self.name)
        try:
            if self._left_open is not None:
                await self._left_open()
        finally:
            self.lost("its loop ended while the engine was still open")

    def lost(self, why: str) -> None:
        """See ``Portal``; nobody waits for the engine's tasks any more, either."""
        known = self.state is LoopState.CLOSED
        super().lost(why)
        if self.loop.is_closed():
            self._thread = 0  # what was its thread is one like any other now
        if not known and self._engine is not None:
            self._engine.lost(why)

    def given_up(self, why: str) -> None:
        """See ``Portal``; nobody waits for the engine's tasks any more, either."""
        super().given_up(why)
        if self._engine is not None:
            self._engine.stands_still(why)

    def _end_orphan(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelling():
            _log.info("%s; cancelled, since the engine closes", self._tracked(task, None))
        task.cancel()


def _outlived(origin: Handle[Any] | Request, task: asyncio.Task[Any]) -> bool:
    """Return whether a task goes on though what started it has ended."""
    # Read from another thread, the task may end meanwhile. What started it takes that in afterwards: so it
    # is asked first, and the task last.
    own = origin.run if isinstance(origin, Handle) else origin.task
    return origin.done() and own is not task and not task.done()


async def _until_the_loop_ends(owner: LoopOwner) -> AsyncGenerator[None, None]:
    """Stand on the loop without a task, and learn when it ends.

    Every way of ending a loop in good order finalises the async generators that began
    on it. It is the only word that a loop gives: a task of our own would be in the way
    of programs that look at all tasks.
    """
    try:
        yield
    finally:
        await owner.loop_ends()


def _step(step: Any) -> None:
    """Run one step of an async generator that awaits nothing."""
    try:
        step.send(None)
    except (StopIteration, StopAsyncIteration):
        return
    message = "a generator that should only stand on the loop began to wait"
    raise RuntimeError(message)
