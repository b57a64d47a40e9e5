"""What was spent of a rate within the last so many seconds.

Time is divided into ``SLOTS`` parts of a span, and what was spent counts at the end of
its part: so memory and the cost of each step do not depend on how much is spent, and
everything counts for a little longer than the span, never for less.

1. ``spent`` is the sum of all that was added and neither taken back nor older than the span.
2. What is added at ``t`` counts until ``t + span`` at least, and for at most
   ``span / SLOTS`` longer.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import deque

__all__ = ["SLOTS", "RateLedger"]

SLOTS = 2048


class RateLedger:
    """A sliding sum.

    Args:
        span: Seconds.

    Attributes:
        span: Seconds for which what is spent counts; may be changed.
        spent: Units that count now; exact after ``expire``.
    """

    __slots__ = ("_amounts", "_order", "_width", "span", "spent")

    def __init__(self, span: float) -> None:
        self.span = span
        self._width = span / SLOTS
        self._amounts: dict[int, int] = {}
        self._order: deque[int] = deque()
        self.spent = 0

    def add(self, at: float, amount: int) -> None:
        """Count what was spent at a time."""
        slot = math.ceil(at / self._width)
        amounts = self._amounts
        if slot in amounts:
            amounts[slot] += amount
        else:
            amounts[slot] = amount
            order = self._order
            if not order or slot > order[-1]:
                order.append(slot)
            else:
                insort(order, slot)
        self.spent += amount

    def take_back(self, at: float, amount: int) -> int:
        """Count no longer what was added at a time; return how much of it still counted."""
        slot = math.ceil(at / self._width)
        there = self._amounts.get(slot, 0)
        counted = amount if amount < there else there
        if counted:
            self._amounts[slot] = there - counted
            self.spent -= counted
        return counted

    def expire(self, now: float) -> None:
        """Forget what is older than the span."""
        order = self._order
        while order and order[0] * self._width + self.span <= now:
            self.spent -= self._amounts.pop(order.popleft())

    def free_at(self, amount: int) -> float:
        """Return when ``amount`` of what is spent will count no longer; at the latest when nothing does."""
        at = -math.inf
        for slot in self._order:
            if amount <= 0:
                break
            if counted := self._amounts[slot]:
                amount -= counted
                # As ``expire`` computes it, or the caller would come one rounding early.
                at = slot * self._width + self.span
        return at

    def since(self, start: float) -> list[tuple[float, int]]:
        """Return ``(time, amount)`` of what was spent after a time, in order."""
        found: list[tuple[float, int]] = []
        for slot in reversed(self._order):
            at = slot * self._width
            if at <= start:
                break
            if counted := self._amounts[slot]:
                found.append((at, counted))
        found.reverse()
        return found

    def check(self) -> None:
        """Verify rule 1."""
        assert self.spent == sum(self._amounts.values())
        assert list(self._order) == sorted(self._amounts)
        assert all(amount >= 0 for amount in self._amounts.values())
        assert len(self._order) <= SLOTS + 2
