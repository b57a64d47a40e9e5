"""The time of the running loop, and waiting for a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.clock import Clock

__all__ = ["sleep_until", "time_of"]


def time_of(clock: Clock | None) -> Callable[[], float]:
    """Return what tells the time: the clock, or the running loop.

    The loop's own time by default, so that a guard works on a loop with virtual time
    without being told.
    """
    return asyncio.get_running_loop().time if clock is None else clock.now


async def sleep_until(when: float, now: Callable[[], float]) -> None:
    """Wait until ``now()`` is ``when``; not a moment less, though timers fire early."""
    while (left := when - now()) > 0:  # noqa: ASYNC110 - what is waited for is the time itself
        await asyncio.sleep(left)
