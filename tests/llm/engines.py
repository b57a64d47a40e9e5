"""What a client has from its engine, without an engine."""

from __future__ import annotations

import asyncio
from typing import Any

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.timer import UniversalTimer

__all__ = ["close_timers", "timer", "timing"]

_TIMERS: list[UniversalTimer] = []


def timer() -> UniversalTimer:
    """Return a timer of the running loop; ``close_timers`` is for the end of the test."""
    loop = asyncio.get_running_loop()
    made = UniversalTimer(loop=loop, clock=getattr(loop, "clock", SYSTEM_CLOCK), on_thread=lambda: True)
    _TIMERS.append(made)
    return made


def timing() -> dict[str, Any]:
    """Return what a purse waits on, as keywords."""
    made = timer()
    return {"timer": made, "every": made.every}


def close_timers() -> None:
    """Close all that were made."""
    while _TIMERS:
        _TIMERS.pop().close()
