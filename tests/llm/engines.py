"""What a client has from its engine, without an engine."""

from __future__ import annotations

import asyncio

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.timer import UniversalTimer

__all__ = ["close_timers", "timer"]

_TIMERS: list[UniversalTimer] = []


def timer() -> UniversalTimer:
    """Return a timer of the running loop; ``close_timers`` is for the end of the test."""
    made = UniversalTimer(loop=asyncio.get_running_loop(), clock=SYSTEM_CLOCK, on_thread=lambda: True)
    _TIMERS.append(made)
    return made


def close_timers() -> None:
    """Close all that were made."""
    while _TIMERS:
        _TIMERS.pop().close()
