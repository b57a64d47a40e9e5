"""Whether a component that gives signs of life now and then still lives.

::

    ALIVE ──half of its silence──► ASK ──as long again──► HUNG
      ▲                             │
      └───────── a sign ────────────┘

1. It is hung only after it was asked and stayed silent for half of its silence since.
   So a machine that was asleep, or a loop that stood still, condemns nobody: the
   question comes late then, and with it the verdict.
2. A sign of life may come from any thread: to give one is a single assignment.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Liveness", "Verdict"]


class Verdict(Enum):
    """What is known of a component now."""

    ALIVE = "alive"
    ASK = "ask"
    HUNG = "hung"


class Liveness:
    """The signs of life of one component.

    Args:
        silence: Seconds without a sign after which it is hung.
        now: When it began to live.

    Attributes:
        seen_at: When it last gave a sign.
    """

    __slots__ = ("_asked_at", "_half", "seen_at")

    def __init__(self, silence: float, now: float) -> None:
        self._half = silence / 2
        self._asked_at: float | None = None
        self.seen_at = now

    @property
    def _asked(self) -> float | None:
        """When it was asked without having answered since."""
        return None if self._asked_at is None or self.seen_at >= self._asked_at else self._asked_at

    def beat(self, now: float) -> None:
        """Take in a sign of life."""
        self.seen_at = now

    def look(self, now: float) -> Verdict:
        """Return what is to be done; ``ASK`` only once for each silence."""
        asked = self._asked
        if asked is not None:
            return Verdict.HUNG if now >= asked + self._half else Verdict.ALIVE
        if now < self.seen_at + self._half:
            return Verdict.ALIVE
        self._asked_at = now
        return Verdict.ASK

    def next_look(self) -> float:
        """Return when ``look`` may say something else."""
        asked = self._asked
        return (self.seen_at if asked is None else asked) + self._half

    def check(self) -> None:
        """Verify the rules."""
        asked = self._asked
        assert asked is None or asked >= self.seen_at + self._half
        assert self.next_look() >= self.seen_at + self._half
