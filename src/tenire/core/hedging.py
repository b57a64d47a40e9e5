"""When to send a second copy of a slow call.

The hedged requests of J. Dean and L. Barroso, "The Tail at Scale", CACM 56(2), 2013.

1. A copy is sent when a call has taken longer than ``quantile`` of the last ones.
   Before ``ENOUGH`` of them are known nothing is slow.
2. Copies are at most ``budget`` of all calls, and a few more at the beginning. When
   everything is slow the budget ends, and with it the copies: they would make it worse.
3. What ended because its copy was faster took longer than its copy: it is recorded with
   the time when it was given up. Left out, slow calls would no longer count, and the
   quantile would fall further and further.
"""

from __future__ import annotations

from tenire.core.recent import Recent
from tenire.core.retry_budget import RetryBudget

__all__ = ["ENOUGH", "Hedging"]

ENOUGH = 20
_RESERVE = 1.0  # copies to begin with, and those that can be saved up
_CAP = 10.0


class Hedging:
    """Decides about second copies of the calls of one kind.

    Args:
        quantile: Part of the calls that are not slow, above 0 and below 1.
        budget: Copies for each call, above 0 and up to 1.

    Raises:
        ValueError: If an argument is impossible.
    """

    __slots__ = ("_budget", "_quantile", "_recent", "delay")

    def __init__(self, *, quantile: float = 0.95, budget: float = 0.05) -> None:
        if not 0 < quantile < 1:
            raise ValueError(f"quantile must be above 0 and below 1, got {quantile!r}")
        if not 0 < budget <= 1:
            raise ValueError(f"budget must be above 0 and at most 1 copy for each call, got {budget!r}")
        self._quantile = quantile
        self._recent = Recent()
        self._budget = RetryBudget(ratio=budget, reserve=_RESERVE, cap=_CAP)
        self.delay: float | None = None
        """Seconds after which a call is slow, or ``None``."""

    def start(self, now: float) -> float | None:
        """Record that a call starts.

        Returns:
            When it will be slow, seconds; ``None`` if that cannot be told.
        """
        self._budget.earn()
        return None if self.delay is None else now + self.delay

    def copy(self) -> bool:
        """Return whether a copy of a slow call may be sent; it is charged."""
        return self._budget.spend()

    def end(self, seconds: float) -> None:
        """Record how long a call took, or for how long it had run when it was given up."""
        recent = self._recent
        recent.add(max(0.0, seconds))
        if recent.count >= ENOUGH and recent.count >= recent.due:
            self.delay = recent.refresh(self._quantile)

    def check(self) -> None:
        """Verify the rules."""
        self._recent.check()
        self._budget.check()
        assert (self.delay is None) == (self._recent.count < ENOUGH)
