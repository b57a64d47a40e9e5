"""Whether calls of a model may go side by side, while nobody knows yet if any can work.

::

              enter                 answered, or somebody else was
    unknown ────────► one alone ───────────────────────────────────► proven
       ▲                 │  │ alone_for is over: others go too
       │  refused_for    │  │
       └──── refused ◄───┘◄─┘ refused for what is the same for every call

1. Until one call has an answer, one goes alone: a wrong key costs one call.
2. It goes alone for a while only: whoever refuses says so soon, and a slow model is not
   waited for.
3. What refuses the first call would refuse the others. They are refused without a call,
   and so is what comes in the next moment, for its caller may need that to give up.
4. Once proven, nothing is held back any more: what is refused then is the business of that
   one call.
5. A first call that ends without a word, being cancelled, leaves its place to the next one.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["ALONE_FOR_S", "REFUSED_FOR_S", "Entry", "FirstCall"]

ALONE_FOR_S = 0.5
"""Seconds that others wait for the answer to the first call."""

REFUSED_FOR_S = 1.0
"""Seconds after a refusal in which others are refused with it."""


class Entry(Enum):
    """What a call may do."""

    GO = "go"
    GO_ALONE = "go alone"
    WAIT = "wait"
    REFUSED = "refused"


class FirstCall:
    """Decides who goes; ``now`` is in seconds on a clock that never goes back.

    Attributes:
        proven: Whether a call has had an answer.
        until: When those that wait are to ask again, unless they are told before.
    """

    __slots__ = ("_refused_until", "proven", "until")

    def __init__(self) -> None:
        self.proven = False
        self.until: float | None = None
        self._refused_until: float | None = None

    def enter(self, now: float) -> Entry:
        """Return what a call may do that would be sent now."""
        if self.proven:
            return Entry.GO
        if self.is_refused(now):
            return Entry.REFUSED
        if self.until is None:
            self.until = now + ALONE_FOR_S
            return Entry.GO_ALONE
        return Entry.GO if now >= self.until else Entry.WAIT

    def is_refused(self, now: float) -> bool:
        """Return whether calls are refused without being made."""
        return not self.proven and self._refused_until is not None and now < self._refused_until

    def answered(self) -> None:
        """Take in that a call has had an answer, or failed in a way of its own."""
        self.proven = True

    def refused(self, now: float) -> None:
        """Take in that a call was refused for what is the same for every call."""
        self.until = None
        self._refused_until = now + REFUSED_FOR_S

    def left(self) -> None:
        """Take in that the call that went alone has ended without a word."""
        self.until = None
