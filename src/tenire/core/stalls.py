"""Whether something that must answer has stopped answering.

::

    quiet ──look──► asked ──answer──► quiet
                      │ limit passed
                      ▼
                   stalled ──answer──► quiet       (how long it lasted is told)

1. At most one question is open. A new one is asked with the look after its answer.
2. A stall is told once, at the first look ``limit`` or more after the question.
3. If the looks themselves come late, the looker stood still as well (a machine that
   slept, a process that was stopped). That proves nothing about the other: an open
   question counts from that look on.
4. The end of a stall is told once, with the time from question to answer.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding", "StallDetector"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look came to.

    Attributes:
        ask: Whether to ask now.
        stalled: Seconds without an answer, if the stall is told with this look.
        over: Seconds that a stall lasted which is found to be over.
    """

    ask: bool = False
    stalled: float | None = None
    over: float | None = None


_NOTHING = Finding()


class StallDetector:
    """Judges one thing that must answer.

    Args:
        limit: Seconds without an answer that are a stall.
        late: Seconds between two looks from which on rule 3 holds.

    Attributes:
        asked_at: When the open question was asked, or ``None``.
        stalled: Whether the stall of the open question has been told.
    """

    __slots__ = ("_late", "_limit", "_looked_at", "asked_at", "stalled")

    def __init__(self, limit: float, *, late: float) -> None:
        self._limit = limit
        self._late = late
        self._looked_at: float | None = None
        self.asked_at: float | None = None
        self.stalled = False

    def look(self, now: float, answered_at: float | None) -> Finding:
        """Judge, and say whether to ask.

        Args:
            now: Seconds on a clock that never goes back.
            answered_at: When the open question was answered, or ``None``.
        """
        paused = self._looked_at is not None and now - self._looked_at >= self._late
        self._looked_at = now
        if self.asked_at is None:
            self.asked_at = now
            return Finding(ask=True)
        if answered_at is not None:
            over = max(0.0, answered_at - self.asked_at) if self.stalled else None
            self.asked_at, self.stalled = now, False
            return Finding(ask=True, over=over)
        if self.stalled:
            return _NOTHING
        if paused:
            self.asked_at = now
            return _NOTHING
        if now - self.asked_at >= self._limit:
            self.stalled = True
            return Finding(stalled=now - self.asked_at)
        return _NOTHING

    def check(self) -> None:
        """Verify the rules."""
        assert not self.stalled or self.asked_at is not None
        assert self.asked_at is None or self._looked_at is not None
        assert self.asked_at is None or self.asked_at <= (self._looked_at or 0.0)
