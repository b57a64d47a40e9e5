"""Cancels tasks leaves first, and waits for them; ``core.unwinding`` says in which order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tenire.core.unwinding import leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tenire.concurrency.handle import Handle

__all__ = ["unwind"]


async def unwind(
    find: Callable[[], Iterable[Handle[Any]]],
    *,
    grace: float,
    again: bool = False,
    but: asyncio.Task[Any] | None = None,
) -> list[Handle[Any]]:
    """Cancel tasks until none is left, or the time is up; on their loop.

    A task that goes on keeps those that it was submitted by from being cancelled for
    half of the time that is left, not longer.

    Args:
        find: Returns the tasks to end; it is asked anew after each step.
        grace: Seconds that all of it may take.
        again: Whether to cancel those too that were cancelled before and go on. A second
            time interrupts what a task does to clean up.
        but: The asyncio task of one to leave out, because it waits for this.

    Returns:
        Those that go on though they were cancelled.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + grace
    stubborn: set[Handle[Any]] = set()
    while True:
        left = [each for each in find() if not each.done() and (but is None or each.run is not but)]
        rest = [each for each in left if each not in stubborn]
        if not rest:
            break
        stage = leaves(rest)
        for each in stage:
            if again or not (isinstance(each.run, asyncio.Task) and each.run.cancelling()):
                each.cancel()
        if await _wait(stage, (give_up_at - loop.time()) / 2):
            stubborn.update(each for each in stage if not each.done())
    await _wait(left, give_up_at - loop.time())
    return [each for each in left if not each.done()]


async def _wait(handles: Iterable[Handle[Any]], seconds: float) -> bool:
    """Wait until tasks have ended; return whether some go on."""
    # Only a coroutine takes time to end. What else is cancelled has ended, or comes to the loop in its next turn.
    running = [each.run for each in handles if not each.done() and isinstance(each.run, asyncio.Task)]
    if not running:
        await asyncio.sleep(0)
        return False
    _, pending = await asyncio.wait(running, timeout=max(0.0, seconds))
    return bool(pending)
