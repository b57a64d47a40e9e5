"""Whether a server counts the output that replies had, or what was reserved for them.

Both are held against what it says is left; see ``usage_bounds`` for the ways in which it may
count. Taking a server that counts what is reserved for one that counts what is real would
over-run its quota, the other mistake only leaves some of it unused. So it is believed to count
what is reserved, until everything speaks against that and nothing against the other.

::

               every way of counting what is reserved contradicted, one of counting what
               is real never, for a window at least
    reserved ────────────────────────────────────────────────────────────────────────► real
             ◄────────────────────────────────────────────────────────────────────────
               it refuses a call, or says more is used than can be real

1. ``LOOKS`` replies in a row that are outside its bounds contradict a way, for good. One of
   them may be chance: a reply that was long on the way, or a server that knows late what
   its others have counted.
2. At most ``PER_WINDOW`` replies of a window are looked at: the others would show the same.
3. What is less than half of the call's own input contradicts every way of counting what is
   real, and figures that are always the same say nothing: some servers only claim to count.
4. When no way of counting what is real is left, somebody else uses the quota, or the server
   counts in a way of its own. Then all begins anew.
5. After each mistake, twice as many windows have to pass.
6. A small ``SLACK`` of the limit is nobody's contradiction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.usage_bounds import WAYS, UsageBounds

if TYPE_CHECKING:
    from tenire.core.rate_report import MetricReport

__all__ = ["LOOKS", "PER_WINDOW", "SLACK", "OutputCount"]

LOOKS = 6
PER_WINDOW = 240
SLACK = 0.02
_SHOWN = 0.5
_MOST_WINDOWS = 64
_SLIDING = 1
"""The way of which the high bound is the highest."""


class OutputCount:
    """Finds out how one metric of a server counts output.

    Args:
        window: Seconds.

    Attributes:
        real: Whether it counts what replies had, as far as is known.
        windows: For how many of them everything has to speak for it.
    """

    __slots__ = (
        "_bounds", "_in_real", "_in_reserved", "_least", "_limit", "_look_at", "_most", "_over", "_since", "_window",
        "real", "windows",
    )  # fmt: skip

    def __init__(self, window: float) -> None:
        self._window = window
        self._bounds = UsageBounds(window)
        self._look_at = float("-inf")
        self._limit = 0
        self.real = False
        self.windows = 1
        self._over = 0
        self._least, self._most = float("inf"), float("-inf")
        self._begin(float("-inf"))

    def sent(self, granted: int) -> None:
        """Take in that a call is sent; ``answered`` or ``lost`` is to follow.

        Args:
            granted: The most units that it can use.
        """
        self._bounds.sent(granted)

    def answered(
        self, sent_at: float, now: float, granted: int, *, input_tokens: int, output_tokens: int, reserved: int | None
    ) -> None:
        """Take in what a call really used.

        Args:
            sent_at: When it was sent, seconds.
            now: Seconds on a clock that never goes back.
            granted: As for ``sent``.
            input_tokens: What counts of its input.
            output_tokens: Of the reply.
            reserved: Output that the request allowed, or ``None`` if it did not say.
        """
        self._bounds.answered(
            sent_at, now, granted, input_tokens=input_tokens, output_tokens=output_tokens, reserved=reserved
        )

    def lost(self, now: float, granted: int) -> None:
        """Take in that a call has ended, and that nobody knows what it used."""
        self._bounds.lost(now, granted)

    def observe(self, said: MetricReport, sent_at: float, now: float, margin: float, own: int) -> None:
        """Take in what a reply says, before ``answered`` or ``lost`` of its call.

        Args:
            said: That.
            sent_at: When its call was sent, seconds.
            now: Seconds on a clock that never goes back.
            margin: By how much the time on the way varies, seconds.
            own: Input of the call, about.
        """
        limit, left = said.limit, said.remaining
        if limit is None or limit <= 0 or left is None or left < 0 or now < self._look_at:
            return
        used = limit - left
        hidden = used + said.rounding < _SHOWN * own
        if used <= said.rounding and not hidden:
            return
        bounds = self._bounds.look(sent_at, now, limit, margin)
        if bounds is None:
            return
        self._look_at = now + self._window / PER_WINDOW
        slack = SLACK * limit + said.rounding
        if self.real:
            self._over = self._over + 1 if used > bounds.real_high[_SLIDING] + slack else 0
            if self._over >= LOOKS:
                self._mistaken(now)
            return
        if limit != self._limit:
            self._limit = limit
            self._begin(now)
        self._least, self._most = min(self._least, used), max(self._most, used)
        _hold_against(self._in_reserved, bounds.reserved_low, bounds.reserved_high, used, slack)
        _hold_against(self._in_real, bounds.real_low, bounds.real_high, -slack - 1 if hidden else used, slack)
        if min(self._in_real) >= LOOKS:
            self._begin(now)
        elif min(self._in_reserved) >= LOOKS and now - self._since >= self.windows * self._window:
            self.real = self._most - self._least > said.rounding

    def refused(self, now: float) -> None:
        """Take in that a call was refused, perhaps for this metric."""
        if self.real:
            self._mistaken(now)
        else:
            self._begin(now)

    def _mistaken(self, now: float) -> None:
        self.real = False
        self.windows = min(2 * self.windows, _MOST_WINDOWS)
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._since = now
        self._in_reserved, self._in_real = [0] * WAYS, [0] * WAYS
        """Replies in a row that contradict each way; once they are enough they stay so."""
        self._over = 0
        self._least, self._most = float("inf"), float("-inf")

    def check(self) -> None:
        """Verify that nothing is believed that has been contradicted."""
        assert self._bounds.open >= 0
        assert self.real or min(self._in_real) < LOOKS
        assert 1 <= self.windows <= _MOST_WINDOWS


def _hold_against(strikes: list[int], low: list[float], high: list[float], used: float, slack: float) -> None:
    least, most = used + slack, used - slack
    for way, count in enumerate(strikes):
        if count < LOOKS:
            strikes[way] = count + 1 if low[way] > least or high[way] < most else 0
