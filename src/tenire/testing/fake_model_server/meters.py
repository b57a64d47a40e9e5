"""How providers count what a minute may hold: four ways, each a pure object.

All keep the same promise: what was taken is never more than the limit, as this way
of counting sees it. ``now`` is in seconds and never goes back.

1. Sliding: what was taken in the last ``window`` seconds, to the moment, is at most ``limit``.
2. Fixed: the count starts anew every ``window`` seconds, whatever came shortly before.
3. Bucket: ``limit`` units at most, refilled all the time at ``limit / window`` per second.
4. Quantised: as sliding, and also no more than ``limit * quantum / window`` in any ``quantum``
   seconds; what such a provider says of itself speaks of the window alone.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal, Protocol

__all__ = ["BucketMeter", "Enforcement", "FixedMeter", "Meter", "QuantisedMeter", "SlidingMeter", "make_meter"]

Enforcement = Literal["sliding", "fixed", "bucket", "quantised"]

_TOLERANCE = 1e-9
"""Of a bucket's level: what rounding took away is not held against the client."""


class Meter(Protocol):
    """One metric of a quota."""

    limit: int

    def remaining(self, now: float) -> float:
        """Return the units that a provider would say are left."""
        ...

    def ready_at(self, units: float, now: float) -> float:
        """Return when ``units`` can be taken: ``now``, later, or infinity if never."""
        ...

    def take(self, units: float, now: float) -> None:
        """Take units that are there, or more than are there if they were used without asking."""
        ...

    def full_at(self, now: float) -> float:
        """Return when the whole limit is back."""
        ...


class SlidingMeter:
    """A log of what was taken, and when.

    Args:
        limit: Units in any window.
        window: Its length, seconds.
    """

    def __init__(self, limit: int, window: float) -> None:
        self.limit = limit
        self.window = window
        self._taken: deque[tuple[float, float]] = deque()
        self._total = 0.0

    def remaining(self, now: float) -> float:
        """Return the units left in the window that ends now."""
        taken, window = self._taken, self.window
        # As ``ready_at`` computes it, or who comes at that time would be one rounding early.
        while taken and taken[0][0] + window <= now:
            self._total -= taken.popleft()[1]
        return self.limit - self._total

    def ready_at(self, units: float, now: float) -> float:
        """Return when enough of what was taken has left the window."""
        missing = units - self.remaining(now)
        if missing <= 0:
            return now
        for at, taken in self._taken:
            missing -= taken
            if missing <= 0:
                return at + self.window
        return math.inf

    def take(self, units: float, now: float) -> None:
        """Note what was taken."""
        self._taken.append((now, units))
        self._total += units

    def full_at(self, now: float) -> float:
        """Return when the last of it has left the window."""
        self.remaining(now)
        return self._taken[-1][0] + self.window if self._taken else now


class FixedMeter:
    """A counter that starts anew with each window.

    Args:
        limit: Units in a window.
        window: Its length, seconds.
        origin: When some window began; real clients do not know it.
    """

    def __init__(self, limit: int, window: float, origin: float = 0.0) -> None:
        self.limit = limit
        self.window = window
        self._origin = origin
        self._current = -1
        self._total = 0.0

    def remaining(self, now: float) -> float:
        """Return the units left in this window."""
        current = math.floor((now - self._origin) / self.window)
        if current != self._current:
            self._current, self._total = current, 0.0
        return self.limit - self._total

    def ready_at(self, units: float, now: float) -> float:
        """Return now or the start of the next window."""
        if units <= self.remaining(now):
            return now
        return self._next() if units <= self.limit else math.inf

    def take(self, units: float, now: float) -> None:
        """Count what was taken."""
        self.remaining(now)
        self._total += units

    def full_at(self, now: float) -> float:
        """Return the start of the next window, if anything was taken in this one."""
        return now if self.remaining(now) == self.limit else self._next()

    def _next(self) -> float:
        return self._origin + (self._current + 1) * self.window


class BucketMeter:
    """A bucket of the limit's size that fills up again all the time.

    Args:
        limit: Its size, units.
        window: Seconds in which an empty one fills up.
    """

    def __init__(self, limit: int, window: float) -> None:
        self.limit = limit
        self.window = window
        self._level = float(limit)
        self._at = -math.inf

    def remaining(self, now: float) -> float:
        """Return the level."""
        if now > self._at:
            if self._level < self.limit:
                self._level = min(self.limit, self._level + (now - self._at) * self.limit / self.window)
            self._at = now
        return self._level

    def ready_at(self, units: float, now: float) -> float:
        """Return when the level is high enough."""
        missing = units - self.remaining(now)
        if missing <= _TOLERANCE * self.limit:
            return now
        return now + missing * self.window / self.limit if units <= self.limit else math.inf

    def take(self, units: float, now: float) -> None:
        """Lower the level."""
        self._level = self.remaining(now) - units

    def full_at(self, now: float) -> float:
        """Return when it is full."""
        return now + (self.limit - self.remaining(now)) * self.window / self.limit


class QuantisedMeter:
    """A limit by the minute that is enforced by the second.

    Args:
        limit: Units in any window.
        window: Its length, seconds.
        quantum: Seconds by which the limit is really enforced.
    """

    def __init__(self, limit: int, window: float, quantum: float) -> None:
        self.limit = limit
        self._window = SlidingMeter(limit, window)
        # One unit always fits, or nothing ever would.
        self._quantum = SlidingMeter(max(1, math.floor(limit * quantum / window)), quantum)

    def remaining(self, now: float) -> float:
        """Return what is left in the window: of the quantum, nothing is said."""
        return self._window.remaining(now)

    def ready_at(self, units: float, now: float) -> float:
        """Return when both allow it."""
        return max(self._window.ready_at(units, now), self._quantum.ready_at(units, now))

    def take(self, units: float, now: float) -> None:
        """Take from both."""
        self._window.take(units, now)
        self._quantum.take(units, now)

    def full_at(self, now: float) -> float:
        """Return when the window is empty."""
        return self._window.full_at(now)


def make_meter(kind: Enforcement, limit: int, window: float, *, quantum: float = 1.0, origin: float = 0.0) -> Meter:
    """Return a meter of a kind.

    Args:
        kind: How it counts.
        limit: Units in a window.
        window: Seconds.
        quantum: Seconds, for ``quantised``.
        origin: When some window began, for ``fixed``.
    """
    if kind == "sliding":
        return SlidingMeter(limit, window)
    if kind == "fixed":
        return FixedMeter(limit, window, origin)
    if kind == "bucket":
        return BucketMeter(limit, window)
    return QuantisedMeter(limit, window, quantum)
