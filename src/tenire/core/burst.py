"""Burst protection: how far a pipeline may run ahead of the others, and when it must step back.

While others cannot use what is free, a pipeline may take more than its fair share of
the machine: on credit. What it has taken beyond its share is how far its virtual time
is ahead of the system's (its lead); the credit is what is left of ``BURST_S`` seconds
at twice the fair share. A pipeline without credit cools down until it has half of it
again: it is asked last, and yields at once what another one waits for, where others
may still run ahead a little. So a herd of ten thousand tasks can delay another
pipeline's task by no more than one running task a slot, and nothing is held back
that nobody else could use.

1. ``credit <= BURST_S``; a pipeline that is due has all of it.
2. A pipeline cools down from the moment its credit is spent until it is half full.
3. A pipeline that has the machine for itself is always due.
4. Under load there is no credit: whoever has a lead cools down.
"""

from __future__ import annotations

__all__ = ["BURST_S", "BurstCredit"]

BURST_S = 10.0
"""Seconds at twice the fair share before the credit is spent."""


class BurstCredit:
    """The burst credit of one pipeline.

    Attributes:
        credit: Seconds left; below zero if it went on because nobody else could.
        cooling: Whether the pipeline is asked last.
    """

    __slots__ = ("cooling", "credit")

    def __init__(self) -> None:
        self.credit = BURST_S
        self.cooling = False

    def observe(self, lead: float, pull: float, *, allowed: bool = True) -> bool:
        """Bring the credit up to date and return whether the pipeline cools down.

        Args:
            lead: How far its virtual time is ahead of the system's.
            pull: Sum of the weights of all pipelines with work waiting. Twice the fair
                share for a second is a lead of ``1 / pull``, whatever its own weight.
            allowed: Whether credit may be used (rule 4).
        """
        self.credit = BURST_S - max(0.0, lead) * pull
        if self.credit <= 0.0 or (not allowed and lead > 0.0):
            self.cooling = True
        elif self.credit >= BURST_S / 2:
            self.cooling = False
        return self.cooling

    def check(self) -> None:
        """Verify the rules."""
        assert self.credit <= BURST_S
