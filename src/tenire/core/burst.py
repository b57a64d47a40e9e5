"""Burst protection: a pipeline that floods the engine goes behind the others.

A pipeline may take more than its fair share of the machine for a while, on
credit. While others want to run too, holding more than the fair share spends
the credit, second by second; holding less earns it back. A pipeline without
credit is asked last until it has earned half of it again (the cooldown), so a
herd of ten thousand tasks can delay another pipeline's task by no more than one
running task a slot. Nothing is held back that nobody else could use.

1. ``0 <= credit <= BURST_S``.
2. A pipeline cools down from the moment its credit is spent until it is half full.
3. With no other pipeline at work, credit only grows.
"""

from __future__ import annotations

__all__ = ["BURST_S", "BurstCredit"]

BURST_S = 10.0
"""Seconds at twice the fair share before the credit is spent."""


class BurstCredit:
    """The burst credit of one pipeline.

    Attributes:
        credit: Seconds left.
        cooling: Whether the pipeline is asked last.
        fair: The share that is its due, 0 to 1; 1 if it or all others have nothing waiting.
        held: Sum of the largest share of one resource of each of its running tasks.
    """

    __slots__ = ("_at", "cooling", "credit", "fair", "held")

    def __init__(self) -> None:
        self.credit = BURST_S
        self.cooling = False
        self.fair = 1.0
        self.held = 0.0
        self._at: float | None = None

    def observe(self, now: float, *, fair: float) -> bool:
        """Bring the credit up to ``now`` and return whether the pipeline cools down.

        Args:
            now: Seconds on a clock that never goes back.
            fair: The share that is this pipeline's due from now on.
        """
        self.advance(now)
        self.fair = fair
        return self.cooling

    def advance(self, now: float) -> None:
        """Bring the credit up to ``now``; to be called before ``held`` or ``fair`` changes.

        Otherwise the time before the change would be judged by what is held after it.
        """
        fair = self.fair
        before, self._at = self._at, now
        if before is not None and now > before:
            # Twice the fair share spends one second of credit a second; nothing
            # held earns one half, which makes the cooldown twice the burst.
            rate = 1.0 - self.held / fair
            if rate > 0.0:
                rate *= 0.5
            elif fair >= 1.0:  # nobody else wants anything (rule 3)
                rate = 0.0
            self.credit = min(BURST_S, max(0.0, self.credit + rate * (now - before)))
            if self.credit <= 0.0:
                self.cooling = True
            elif self.credit >= BURST_S / 2:
                self.cooling = False

    def check(self) -> None:
        """Verify the rules."""
        assert 0.0 <= self.credit <= BURST_S
        assert self.held > -1e-9
