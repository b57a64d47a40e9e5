"""How much may still be spent, when it is known only afterwards what something costs.

Before something is begun, the most that it can cost is *held*; when it has ended, what it
really cost is *spent*, and the rest is free again.

1. ``spent + held <= limit`` after every ``take``. Only what cost more than was held for it
   can break that, and then nothing fits any more.
2. What does not fit now but may fit once something that is under way has cost less than is
   held for it has to wait (``may_wait``). What cannot fit even then never will.
3. ``held`` is the sum of what was taken and not yet settled.

Numbers are whole: sums of them are exact. Any unit will do.
"""

from __future__ import annotations

__all__ = ["Budget"]


class Budget:
    """Counts what is spent and held.

    Example:
        >>> budget = Budget(100)
        >>> budget.take(60), budget.take(60), budget.may_wait(60)
        (True, False, True)
        >>> budget.settle(60, cost=15)
        >>> budget.take(60), budget.spent, budget.held
        (True, 15, 60)

    Args:
        limit: The most that may be spent; ``None`` for no limit.

    Attributes:
        limit: As given. May be changed at any time.
        spent: What ended things have cost.
        held: The most that things under way can cost.
    """

    __slots__ = ("held", "limit", "spent")

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.spent = 0
        self.held = 0

    def fits(self, cost: int) -> bool:
        """Return whether ``cost`` could be taken now."""
        return self.limit is None or self.spent + self.held + cost <= self.limit

    def may_wait(self, cost: int) -> bool:
        """Return whether ``cost`` may fit once what is under way has ended."""
        return self.limit is None or (self.held > 0 and self.spent + cost <= self.limit)

    def take(self, cost: int) -> bool:
        """Hold ``cost`` if it fits; return whether it did."""
        if not self.fits(cost):
            return False
        self.held += cost
        return True

    def settle(self, held: int, *, cost: int) -> None:
        """Record that something for which ``held`` was taken has cost ``cost``."""
        self.held -= held
        self.spent += cost

    def check(self) -> None:
        """Verify the rules."""
        assert self.held >= 0
        assert self.spent >= 0
