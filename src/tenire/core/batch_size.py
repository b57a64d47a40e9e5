"""How many items one batch may have, found by how long batches take.

Additive increase, multiplicative decrease against a target for the time of a batch, as
in Clipper (D. Crankshaw et al., NSDI 2017), with a quick start.

1. ``1 <= limit <= most``.
2. A full batch that ended within the target raises the limit: to twice as many until
   one took too long for the first time, by one from then on. One that was not full
   says nothing about larger ones.
3. A batch of several that took too long lowers the limit by a tenth, at least by one. Of
   the batches that ran at the same time only one lowers it, since all of them say the
   same thing. A single item that takes long would do so in any batch.
4. Without a target, the limit is ``most`` for ever.
"""

from __future__ import annotations

__all__ = ["BatchSize"]

_START = 4
_CUT = 0.9


class BatchSize:
    """The largest useful batch.

    Args:
        most: Items that a batch may have at all.
        target: Seconds that a batch may take, or ``None``.

    Attributes:
        limit: Items that a batch may have now.
    """

    __slots__ = ("_cut_at", "_most", "_quick", "_target", "limit")

    def __init__(self, *, most: int, target: float | None) -> None:
        self._most = most
        self._target = target
        self._quick = True
        self._cut_at = float("-inf")
        self.limit = most if target is None else min(most, _START)

    def end(self, size: int, started: float, now: float) -> None:
        """Record that a batch of ``size`` items, begun at ``started``, has ended well."""
        if self._target is None:
            return
        if now - started <= self._target:
            if size >= self.limit:
                self.limit = min(self._most, self.limit * 2 if self._quick else self.limit + 1)
        elif started >= self._cut_at and size > 1:
            self._quick = False
            self._cut_at = now
            self.limit = max(1, min(self.limit - 1, int(self.limit * _CUT)))

    def check(self) -> None:
        """Verify the rules."""
        assert 1 <= self.limit <= self._most
