"""How many calls a server takes before it refuses some.

Additive increase, multiplicative decrease (Chiu and Jain, 1989), with what TCP
learned since: one cut per round trip (RFC 6582), deeper the more was refused
(RFC 8257), a fast return to just below where it failed, a wait there, and then one
step further (the plateau of RFC 9438). So a server that refuses at a fixed number
is run just below that number, and refuses about one call in sixty.

1. Only a call that started after the last cut may cut again: a burst of refusals
   says one thing, once.
2. A call that failed late may be bad luck. Late failures cut only when they are more
   than ``LATE_SHARE`` of the calls, and before that they do not hold up growth either.
   Where some answers take nearly as long and none longer, they are timeouts: some calls
   take that long however few are in flight, and a queue shows by their time anyway, so
   only more than ``TIMEOUT_SHARE`` cut. Others cut at once.
3. Nothing grows before a round of calls that started after the last cut went well,
   20 calls at the most. What was good before an outage is reached again in a few round
   trips: during an outage the goal stays. While nothing at all is answered ``_FEW`` calls
   remain allowed: with only one, a single call that hangs would stop everything.
4. ``minimum <= bound`` while the limit is active.
"""

from __future__ import annotations

__all__ = ["LATE_SHARE", "TIMEOUT_SHARE", "LossLimit"]

LATE_SHARE = 0.05
TIMEOUT_SHARE = 0.12
_LEAST_CUT = 0.1
_MOST_CUT = 0.5
_ROUND = 20  # calls that show that a larger limit is borne, if it is larger than that
_FEW = 4.0  # calls, or a quarter of the goal
_PATIENCE = 60  # calls without a failure, at the least, between two steps past the goal


class LossLimit:
    """A bound on the calls in flight, found by failures.

    Attributes:
        active: Whether there is a bound; not before anything failed.
        bound: The calls in flight that are borne.
        goal: Where it failed last.
    """

    __slots__ = (
        "_answered",
        "_cut_at",
        "_good",
        "_grew",
        "_late",
        "_minimum",
        "_patience",
        "_refused",
        "active",
        "bound",
        "goal",
    )

    def __init__(self, minimum: int) -> None:
        self._minimum = minimum
        self.active = False
        self.bound = self.goal = float(minimum)
        self._cut_at = 0  # the last call that had started at the last cut
        self._good = 0  # of those that started later, in a row, not used for growth yet
        self._grew = False  # since the last cut
        self._answered = True  # whether a call that started after the last cut was
        self._patience = _PATIENCE
        self._refused = self._late = 0.0  # shares of failures, averaged

    def succeed(self, number: int) -> None:
        """Record that a call was answered; calls are numbered in order of their start."""
        if number > self._cut_at:
            self._good += 1
            self._answered = True
        self._refused *= 0.94
        self._late *= 0.98

    def fail(self, number: int, *, latest: int, bearable: float, limit: int) -> bool:
        """Record that a call failed and return whether the bound was cut.

        Args:
            number: Of the call.
            latest: Number of the call that started last.
            bearable: Share of the calls that may fail as late as this one did; 0 if it
                failed no later than calls usually end.
            limit: Calls that might be in flight.
        """
        if bearable:
            self._late = 0.98 * self._late + 0.02
            if self._late < bearable:
                return False
        self._good = 0
        self._refused = 0.94 * self._refused + 0.06
        if number <= self._cut_at:
            return False
        self._cut_at = latest
        # Without any growth since the last cut this is still the same failure.
        if not self.active or self._grew:
            self.goal = float(limit)
        self._grew = False
        few = 0.0 if self._answered else min(_FEW, self.goal / 4.0, self.bound)
        self._answered = False
        cut = min(_MOST_CUT, max(_LEAST_CUT, self._refused / 2))
        # At the least by one: a cut that rounds to the same number is none.
        self.bound = max(few, float(self._minimum), min(limit - 1.0, limit * (1.0 - cut)))
        self._late /= 2
        self._patience = max(_PATIENCE, limit)
        self.active = True
        return True

    def grow(self, aim: float) -> bool:
        """Raise the bound by what went well and return whether anything changed.

        Args:
            aim: Calls in flight that are aimed at for other reasons. A bound far
                above says nothing any more and is given up.
        """
        good = self._good
        if good < min(self.bound, _ROUND):
            return False
        before, near = self.bound, self.goal * 0.9
        self._grew = True
        if before < near:
            self.bound, self._good = min(near, before + good), 0
        elif before < self.goal - 1.0:
            self.bound, self._good = min(self.goal - 1.0, before + 2.0 * good / before), 0
        elif good >= self._patience:
            self.bound = self.goal = before + max(1.0, before * 0.02)
            # It failed here and now it does not: the next step may come sooner.
            self._patience, self._good = max(8, int(self.bound)), 0
        if self.bound > 1.5 * aim + 4.0:
            self.active = False
        return self.bound != before or not self.active

    def check(self) -> None:
        """Verify the rules."""
        assert self.bound >= self._minimum
        assert self._good >= 0
        assert 0.0 <= self._refused <= 1.0
        assert 0.0 <= self._late <= 1.0
