"""How many calls at once one engine may make, of those that several share.

Slots are lent until they are given back, so who has them must be heard of now and then.

1. Kept is what is in use, and what was in use at the most for a while: who makes one call
   after the other does not ask for each, nor when a few have ended at the same time. Who
   made no call since it asked last gives everything back: others may wait for it.
2. It is asked when somebody waits and nothing is free, at most once in ``PERIOD_S`` and
   not before it may help; while more is in use than should be; half-way to the time at
   which silence means death; and a while after the last one was used, to give them back.
"""

from __future__ import annotations

import math

from tenire.core.quota_loans import LOAN_S, PERIOD_S

__all__ = ["SILENT_S", "SlotBorrower"]

SILENT_S = 10.0
"""After which one that has slots and was not heard of counts as gone."""

_AGAIN_S = 0.2


class SlotBorrower:
    """The slots of one engine.

    Attributes:
        slots: Calls that it may make at once.
        in_use: Those that it makes now.
        waiting: Calls that wait.
    """

    __slots__ = ("_asked_at", "_before", "_peak", "_peak_since", "_retry_at", "_used", "in_use", "slots", "waiting")

    def __init__(self) -> None:
        self.slots = 0
        self.in_use = 0
        self.waiting = 0
        self._peak = self._before = 0  # of this while, and of the one before it
        self._peak_since = -math.inf
        self._used = False  # since it was asked last
        self._asked_at = self._retry_at = -math.inf

    def use(self, change: int) -> None:
        """Take in that so many calls began, or ended if it is negative."""
        self.in_use += change
        self._peak = max(self._peak, self.in_use)
        self._used = True

    def due_at(self) -> float | None:
        """Return when to ask, or ``None``."""
        if self.waiting and self.in_use >= self.slots:
            return max(self._asked_at + PERIOD_S, self._retry_at)
        if self.in_use > self.slots:
            return self._asked_at + _AGAIN_S
        if self.in_use:
            return self._asked_at + SILENT_S / 2
        return self._asked_at + _AGAIN_S if self.slots else None

    def ask(self, now: float) -> tuple[int, int]:
        """Return how many to keep, and how many more are wanted; then say how it went."""
        if now - self._peak_since >= LOAN_S:
            self._before, self._peak, self._peak_since = self._peak, self.in_use, now
        lately = max(self._peak, self._before) if self._used or self.in_use else 0
        keep = self.slots = max(self.in_use, min(self.slots, lately))
        self._used = False
        self._asked_at = now
        return keep, max(0, self.waiting - (keep - self.in_use))

    def lent(self, more: int, retry_at: float | None, back: int = 0) -> None:
        """Take in what was lent beside what was kept, and how much others should have of it."""
        self.slots += more - back
        self._retry_at = -math.inf if retry_at is None else retry_at
