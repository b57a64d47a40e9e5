"""Resources that come back with time instead of being given back: a token bucket.

An API quota, a number of disk writes a second: what a task takes of it is gone
when it starts, and ``rate`` units return each second until the bucket is full.

1. ``0 <= free <= burst``; whole units, the fraction of one is kept apart.
2. In any stretch of time ``t`` at most ``burst + rate * t`` units are taken.
3. Announced times are never early: at ``ready_at(amount)`` the amount is there.

Source: J. Turner, "New Directions in Communications", IEEE Communications
Magazine, 1986 (the leaky bucket as a meter).
"""

from __future__ import annotations

import math
from typing import Protocol

__all__ = ["RateMeter", "TokenBucket"]


_MARGIN_S = 1e-6


class RateMeter(Protocol):
    """What decides how much of a rate is free; its caller remembers the figure.

    Attributes:
        rate: Units a second, in the long run.
    """

    rate: float

    def refill(self, free: int, now: float) -> int:
        """Return how many units are free at ``now``, given how many were when last asked."""
        ...

    def take(self, amount: int, free: int, now: float) -> int:
        """Take units of those that are free at ``now``, the last refill; return how many are left."""
        ...

    def ready_at(self, amount: int, free: int, now: float) -> float:
        """Return when ``amount`` units will be free, if ``free`` are at ``now``, the last refill."""
        ...

    def lacked(self, amount: int, *, first: bool = True) -> None:
        """Take in that what may go next waits for ``amount`` units, and whether it is the first in the row."""
        ...


class TokenBucket:
    """One rate.

    Attributes:
        rate: Units a second.
        burst: Units that may be saved up; also the most that one task can need.
    """

    __slots__ = ("_at", "_fraction", "burst", "rate")

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self._at: float | None = None
        self._fraction = 0.0

    def refill(self, free: int, now: float) -> int:
        """Return how many units are free at ``now``, given how many were when last asked."""
        before = self._at
        if before is not None and now <= before:
            return free
        self._at = now
        if before is None:
            return free
        gained = (now - before) * self.rate + self._fraction
        whole = math.floor(gained)
        if free + whole >= self.burst:
            self._fraction = 0.0
            return self.burst
        self._fraction = gained - whole
        return free + whole

    def take(self, amount: int, free: int, now: float) -> int:
        """Take units of those that are free; return how many are left."""
        return free - amount

    def ready_at(self, amount: int, free: int, now: float) -> float:
        """Return when ``amount`` units will be free, if ``free`` are at ``now``, the last refill."""
        if amount <= free:
            return now
        at = now + (amount - free - self._fraction) / self.rate
        # One rounding early would have the caller wake for nothing, and at once again.
        return at + _MARGIN_S

    def lacked(self, amount: int, *, first: bool = True) -> None:
        """Take in that what may go next waits for ``amount`` units: they come by themselves."""
