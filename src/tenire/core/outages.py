"""Whose fault a failure is: that of the call, or that of an outage, which uses up nobody's tries.

Nobody can tell from one failure. So it is looked at what became of the others:

1. What never reached the other side (``UNREACHED``) is no call's fault, if that has ever
   answered anybody. If not, nothing says that there is one to wait for: the address may be wrong.
2. What the other side says of itself (``UNWELL``), that it is down or overloaded, is the
   call's fault only if another one that began after the call's last failure, or after its
   first try, has been answered. Answers to calls that began earlier say how things were.
   After ``OFTEN`` such failures it is to blame from then on.
3. What may be either's (``DOUBTFUL``) is the call's fault then, too, and from then on, as it
   goes on failing when it is the last one left; but not for what was answered during its
   first try: so it is for all that are under way when an outage begins. It also is if somebody was answered
   lately: in the last ``LATELY_S`` seconds, or in the time of its last ``LATELY_TRIES``
   tries, if they take long; or if nobody ever was.
4. A doubt lasts for ``LONGEST_DOUBT_S`` seconds: a call that is alone in the end, and is
   never answered, ends too.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["LATELY_S", "LATELY_TRIES", "LONGEST_DOUBT_S", "OFTEN", "Blame", "Sign"]

LATELY_S = 30.0
LATELY_TRIES = 10
LONGEST_DOUBT_S = 3600.0
OFTEN = 3
_NEVER = float("-inf")


class Sign(Enum):
    """What a failure says of an outage."""

    UNREACHED = "unreached"
    """No connection was made: the call cannot be the reason."""
    UNWELL = "unwell"
    """The other side says that it is down or overloaded, or went away."""
    DOUBTFUL = "doubtful"
    """It failed there, and that is all that was said: the call may be the reason."""


class Blame:
    """Tells whose fault the failures of one call are.

    Example:
        >>> blame = Blame()
        >>> blame.is_the_call_s(Sign.UNWELL, 10.0, began=9.0, well_at=-1.0, answered_at=5.0)
        False
        >>> blame.is_the_call_s(Sign.UNWELL, 20.0, began=19.0, well_at=11.0, answered_at=15.0)
        True

    Attributes:
        settled: Whether what may be its own fault is known to be.
    """

    __slots__ = ("_doubted_at", "_failed_at", "_unlike_others", "settled")

    def __init__(self) -> None:
        self._failed_at: float | None = None
        self._unlike_others = 0
        self.settled = False
        self._doubted_at: float | None = None

    def settle(self) -> None:
        """Take in that it was the call's fault elsewhere, where the same was asked."""
        self.settled = True

    def is_the_call_s(self, sign: Sign, now: float, *, began: float, well_at: float, answered_at: float) -> bool:
        """Return whether a failure is the call's own, and take it in.

        Args:
            sign: What it says.
            now: Seconds.
            began: When the try began that has failed, seconds.
            well_at: When the last one began of all calls that have been answered, seconds;
                minus infinity for never.
            answered_at: When one of them was answered last, seconds; minus infinity for never.
        """
        before, self._failed_at = self._failed_at, now
        others = well_at > (began if before is None else before)
        if sign is Sign.UNWELL:
            self._unlike_others += others
            return others or self._unlike_others >= OFTEN
        if well_at == _NEVER:
            return True
        if sign is Sign.UNREACHED:
            return False
        self.settled |= others and before is not None
        if self.settled or now - answered_at <= max(LATELY_S, LATELY_TRIES * (now - began)):
            self._doubted_at = None
            return True
        if self._doubted_at is None:
            self._doubted_at = now
        return now - self._doubted_at >= LONGEST_DOUBT_S
