"""A clock that moves only when a test says so."""

from __future__ import annotations

__all__ = ["DEFAULT_WALL", "ManualClock", "to_ns"]

DEFAULT_WALL = 1_700_000_000.0
"""Where virtual wall clocks start: seconds since the epoch, in November 2023."""


def to_ns(seconds: float) -> int:
    """Return the first whole nanosecond that is not before ``seconds``.

    Plain rounding could land just before the time that was asked for. Code that
    then finds "nothing due yet" and waits for the same time again would spin.
    """
    ns = round(seconds * 1e9)
    return ns + 1 if ns / 1e9 < seconds else ns


class ManualClock:
    """A ``tenire.clock.Clock`` whose hands are moved by the test.

    Time is kept in whole nanoseconds. ``now`` never goes back; the wall clock
    follows it and can be stepped on its own, as by a time server or a user.

    Example:
        >>> clock = ManualClock()
        >>> clock.advance(1.5)
        >>> clock.now(), clock.now_ns()
        (1.5, 1500000000)
    """

    def __init__(self, start: float = 0.0, *, wall: float = DEFAULT_WALL) -> None:
        """Start the clock.

        Args:
            start: First value of ``now``, seconds.
            wall: First value of ``wall``, seconds since the epoch.
        """
        self._ns = to_ns(start)
        self._wall_offset_ns = to_ns(wall) - self._ns

    def now(self) -> float:
        """Return seconds on the clock that never goes back."""
        return self._ns / 1e9

    def now_ns(self) -> int:
        """Return the same time as ``now``, in nanoseconds."""
        return self._ns

    def wall(self) -> float:
        """Return seconds since the epoch."""
        return (self._ns + self._wall_offset_ns) / 1e9

    def advance(self, seconds: float) -> None:
        """Move ``now`` and ``wall`` forward.

        Raises:
            ValueError: If ``seconds`` is negative.
        """
        if seconds < 0:
            msg = f"a clock never goes back: advance() needs seconds >= 0, got {seconds!r}"
            raise ValueError(msg)
        self._ns += to_ns(seconds)

    def advance_to(self, when: float) -> None:
        """Move ``now`` to ``when`` (afterwards ``now() >= when``), and ``wall`` by as much.

        Raises:
            ValueError: If ``when`` is before ``now``.
        """
        # Compared as floats: a time that now() returned must always be accepted.
        if when < self.now():
            msg = f"a clock never goes back: advance_to() needs a time >= {self.now()!r}, got {when!r}"
            raise ValueError(msg)
        self._ns = max(self._ns, to_ns(when))

    def step_wall(self, seconds: float) -> None:
        """Step only the wall clock, forward or back (negative)."""
        self._wall_offset_ns += round(seconds * 1e9)
