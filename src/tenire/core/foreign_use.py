"""What others use of the same quota, from what the server says is left.

1. What is used beyond what was sent from here is used by others. What was sent from here is
   taken at its most, so nobody is seen who is not there: neither with servers that count
   in windows by the clock or with buckets (they count less than what was sent in the last
   window), nor for calls on their way.
2. Figures that are rounded show somebody only beyond the rounding. Then they are taken at
   their worst.
3. What others used counts for a window: that is when it is free again.
"""

from __future__ import annotations

from collections import deque

__all__ = ["ForeignUse"]


class ForeignUse:
    """What others use of one metric.

    Args:
        window: Seconds.
    """

    __slots__ = ("_window", "seen")

    def __init__(self, window: float) -> None:
        self._window = window
        self.seen: deque[tuple[float, int]] = deque()  # falling: a maximum over the window

    def observe(self, limit: int, remaining: int, rounding: int, own: int, now: float) -> None:
        """Take in what a server says.

        Args:
            limit: Units in one window.
            remaining: Units that are left of it.
            rounding: By how much that may be rounded, either way.
            own: The most that was sent from here within a window, when the server said so.
            now: Seconds on a clock that never goes back.
        """
        used = limit - remaining - own
        self.note(used + rounding if used > rounding else 0, now)

    def note(self, used: int, now: float) -> None:
        """Take in what they have used in the window that ends now."""
        seen = self.seen
        while seen and seen[-1][1] <= used:
            seen.pop()
        if used:
            seen.append((now, used))

    def most_since(self, at: float) -> int:
        """Return the most that they have used in a window that ended at some time or later."""
        return next((used for noted_at, used in self.seen if noted_at >= at), 0)

    def forget(self) -> None:
        """Take in that it was somebody else."""
        self.seen.clear()

    def used(self, now: float) -> int:
        """Return what others use of a window."""
        seen = self.seen
        while seen and seen[0][0] + self._window <= now:
            seen.popleft()
        return seen[0][1] if seen else 0

    def check(self) -> None:
        """Verify that what is remembered is the maximum."""
        amounts = [used for _, used in self.seen]
        assert amounts == sorted(amounts, reverse=True)
        assert all(used > 0 for used in amounts)
