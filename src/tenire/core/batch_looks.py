"""When to look whether somebody else has finished a long piece of work.

1. What was begun ``d`` seconds ago is looked at again after a part of ``d``, within bounds: its
   end is seen late by that part of its time at most, and the looks grow with the logarithm of it.
2. After a look that failed, the next comes later: twice as late after each failure, up to the
   upper bound, by chance within the upper half (so that many do not come together), and never
   before the time that the other side asked for.
3. All looks together are at least ``spacing`` seconds apart, however many pieces there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

__all__ = ["Looks"]

_MOST_DOUBLINGS = 30


class Looks:
    """Paces looks at pieces of work.

    Args:
        least: Seconds between two looks at one piece, at least.
        most: Seconds between them, at most.
        part: Of a piece's age, after which it is looked at again.
        spacing: Seconds between any two looks.
        rng: Where the chance comes from.
    """

    __slots__ = ("_free_at", "_least", "_most", "_part", "_rng", "_spacing")

    def __init__(self, *, least: float, most: float, part: float, spacing: float, rng: random.Random) -> None:
        self._least = least
        self._most = most
        self._part = part
        self._spacing = spacing
        self._rng = rng
        self._free_at = float("-inf")

    def next_at(self, begun_at: float, now: float, *, failures: int = 0, not_before: float = float("-inf")) -> float:
        """Return when a piece is to be looked at next; then ask for a ``turn``.

        Args:
            begun_at: When the work on it began.
            now: The time.
            failures: Looks that failed one after the other until now.
            not_before: A time that the other side asked for.
        """
        wait = min(max(self._least, self._part * (now - begun_at)), self._most)
        if failures:
            wait = min(self._most, max(self._least, wait) * 2.0 ** min(failures, _MOST_DOUBLINGS))
            wait *= self._rng.uniform(0.5, 1.0)
        return max(now + wait, not_before)

    def turn(self, now: float) -> float:
        """Return when one look may really happen: ``now``, or some time after; it is taken then."""
        at = max(now, self._free_at)
        self._free_at = at + self._spacing
        return at
