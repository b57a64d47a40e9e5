"""The only door to time.

Product code asks a ``Clock`` instead of the ``time`` module, so that tests can
put a manual clock in its place. ``now`` never goes back; ``wall`` is for people
and for the ledger, and may jump.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["SYSTEM_CLOCK", "Clock", "SystemClock"]


class Clock(Protocol):
    """A source of time."""

    def now(self) -> float:
        """Return seconds on a clock that never goes back."""
        ...

    def now_ns(self) -> int:
        """Return nanoseconds on the same clock as ``now``."""
        ...

    def wall(self) -> float:
        """Return seconds since the epoch; may jump."""
        ...


class SystemClock:
    """The operating system's clocks."""

    now = staticmethod(time.monotonic)
    now_ns = staticmethod(time.monotonic_ns)
    wall = staticmethod(time.time)


SYSTEM_CLOCK = SystemClock()
