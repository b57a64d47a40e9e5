"""How much a server takes in a window, learned from what it refuses.

Additive increase, multiplicative decrease (D.-M. Chiu, R. Jain, "Analysis of the Increase
and Decrease Algorithms for Congestion Avoidance", Computer Networks and ISDN Systems,
1989), with the memory of where it was refused last, as TCP CUBIC has it (RFC 9438).

1. The first refusal sets the limit to a little less than what had been accepted. That may
   be much too little, of a server that counts by the second: so it grows by a quarter each
   time until it is refused again.
2. From then on a refusal cuts it by a tenth. It comes back quickly to a little below the
   *bound*, where it was refused, and from there slowly; well above the bound it grows
   faster and faster, since the server takes more than it did.
3. It grows only while most of it is used, or what is left is too little for a call that
   waits: what is not tried is not known. A limit as small as a few calls would stay so for
   ever, were it for what is used alone.
"""

from __future__ import annotations

__all__ = ["LearnedRate"]

_CUT = 0.9
_STEPS = 12
"""Growths in one window."""
_START = 1.25
_QUICK, _SLOW, _FASTER = 0.02, 0.002, 1.05
_NEAR = 0.97
_BEYOND = 1.05
_USED = 0.9


class LearnedRate:
    """The limit of one metric, as far as it is known from refusals.

    Args:
        window: Seconds.

    Attributes:
        limit: Units in one window, or ``None`` while nothing was refused.
    """

    __slots__ = ("_bound", "_next_at", "_starting", "_step", "limit")

    def __init__(self, window: float) -> None:
        self.limit: float | None = None
        self._step = window / _STEPS
        self._bound = 0.0
        self._starting = True
        self._next_at = 0.0

    def cut(self, accepted: int, now: float, *, known: int | None = None) -> None:
        """Take in a refusal of a call that was sent after the last cut.

        Args:
            accepted: Units that were accepted within the last window.
            now: Seconds on a clock that never goes back.
            known: The limit that the server or the user names, if one does.
        """
        if self.limit is None:
            self._bound = float(accepted if known is None else known)
            self._starting = known is None
        else:
            self._bound = self.limit
            self._starting = False
        self.limit = max(1.0, self._bound * _CUT)
        self._next_at = now + self._step

    def grow(self, used: int, now: float, *, known: int | None = None, lacking: int = 0) -> None:
        """Let the limit grow if it is time, and forget it when it reaches the one that is known.

        Args:
            used: Units that count now.
            now: Seconds on a clock that never goes back.
            known: As for ``cut``.
            lacking: Units that a call waits for, or 0.
        """
        if self.limit is None or now < self._next_at:
            return
        self._next_at = now + self._step
        if used >= _USED * self.limit or used + lacking > self.limit:
            self.limit = self._grown(self.limit)
        if known is not None and self.limit >= known:
            self.limit = None

    def forget(self) -> None:
        """Begin anew: nothing is known."""
        self.limit = None

    def _grown(self, limit: float) -> float:
        if self._starting:
            return limit * _START + 1.0
        if limit < _NEAR * self._bound:
            return limit + _QUICK * self._bound
        if limit <= _BEYOND * self._bound:
            return limit + _SLOW * self._bound
        return limit * _FASTER

    def check(self) -> None:
        """Verify that there is a limit to grow, if any."""
        assert self.limit is None or self.limit >= 1.0
        assert self._bound >= 0.0
