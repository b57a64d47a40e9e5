"""A quota of so many units in any window of time, spent evenly and almost to the last unit.

Providers count calls and tokens a minute, and do not say how: over the last minute, in
minutes by the clock, or with a bucket that fills all the time. What is sent now arrives
a little later, once more and once less so. If within any ``window + margin`` seconds no
more than the limit is sent, ``margin`` being the spread of the time on the way, no more
than the limit arrives within any ``window`` seconds, and all three are content.

1. What was sent within the last ``window + margin`` seconds and what is held never
   exceed the ceiling, unless that was lowered since; then nothing is free. The ceiling is
   the limit, or less while others use the same quota. When nothing counts, one taking may
   be larger than it, up to the limit: or it would wait for ever.
2. What is taken counts from that moment. If it is sent later, ``hold`` has it count until
   further notice, and ``stamp`` from the sending on; ``give_back`` undoes a taking.
3. It is spent evenly: each taking puts off the next one by the time in which that amount
   comes back of what is to be spent in a window, the *pace*. What could have been spent and
   was not may be made up for, up to ``CREDIT`` of a window, at no more than ``FASTEST``
   times the pace.
4. Nothing is free while it is frozen.
5. With a quantum ``q`` the same holds for ``q + margin`` seconds and ``q / window`` of the
   ceiling: some servers enforce the limit of a minute by the second.
6. Announced times are never early: at ``ready_at(amount)`` the amount is there, unless
   what is held has to be given back first.

Large amounts leave more of the window unused, since the next one rarely fits exactly. To
make up for it they are sent a little less evenly: measured with calls of up to 27 % of
the limit, that brings 98 % of it instead of 94 %.
"""

from __future__ import annotations

from tenire.core.rate_ledger import RateLedger

__all__ = ["CREDIT", "FASTEST", "UNLIMITED", "SlidingWindow"]

UNLIMITED = 10**15
"""The limit where none is known: more than anybody can spend."""

CREDIT = 0.1
FASTEST = 2.0
_LARGE = 0.005
"""From this share of the limit on an amount is large."""
_HASTE = 16.0
"""By how much faster what is large may be sent, for each limit that it is beyond that."""
_ALL = 0.1
"""From so much more than that on it is spread as if there were nobody else: it has to go when there is room for it."""
_LATE_S = 0.02
"""By so much a timer may be late without slowing down what is sent at the fastest."""


class SlidingWindow:
    """The meter of one metric of a quota.

    Args:
        limit: Units in one window, or ``None`` while that is unknown.
        window: Seconds.
        jitter: By how much the time on the way to the server varies, seconds.

    Attributes:
        limit: Units in one window; the most that can ever be taken at once.
        ceiling: Units in one window that may be spent for now.
        window: Seconds.
        rate: Units a second, in the long run.
        pace: Units in one window by which takings are spread; not more than the ceiling.
        quantum: Seconds by which the server enforces its limit, if those are less than the window.
        held: Units that were taken but not sent yet.
        frozen_until: When something is free again, seconds.
    """

    __slots__ = (
        "_due", "_ledger", "_quick", "_soonest", "ceiling", "frozen_until", "held", "limit", "pace", "quantum",
        "rate", "window",
    )  # fmt: skip

    def __init__(self, limit: int | None, window: float = 60.0, jitter: float = 0.5) -> None:
        self.window = window
        self.held = 0
        self.frozen_until = 0.0
        self._ledger = RateLedger(window + jitter)
        self._quick: RateLedger | None = None
        self.quantum: float | None = None
        self._due = self._soonest = float("-inf")
        self.set_limit(limit)

    def set_limit(self, limit: int | None, ceiling: int | None = None) -> None:
        """Change the limit, also while it is used.

        Args:
            limit: Units in one window, or ``None`` if that is unknown.
            ceiling: Units in one window that may be spent for now; ``None``: all.
        """
        self.limit = UNLIMITED if limit is None else limit
        self.ceiling = self.limit if ceiling is None else max(1, min(ceiling, self.limit))
        self.pace = self.ceiling
        self.rate = self.ceiling / self.window

    def set_quantum(self, seconds: float | None, now: float) -> None:
        """Change by how many seconds the limit is enforced; ``None``: by the window alone."""
        self.quantum = seconds
        self._quick = None
        if seconds is not None:
            self._quick = RateLedger(seconds + self.margin)
            for at, amount in self._ledger.since(now - self._quick.span):
                self._quick.add(at, amount)

    @property
    def margin(self) -> float:
        """Seconds for which what was sent counts beyond the window."""
        return self._ledger.span - self.window

    @margin.setter
    def margin(self, seconds: float) -> None:
        self._ledger.span = self.window + seconds
        if self._quick is not None and self.quantum is not None:
            self._quick.span = self.quantum + seconds

    # -- as one of the resources -------------------------------------------

    def refill(self, free: int, now: float) -> int:
        """Return how many units may be taken at ``now``."""
        if now < self._due or now < self._soonest or now < self.frozen_until:
            return 0
        spent = self.spent(now)
        room = self.ceiling - spent if spent else self.limit
        if self._quick is not None:
            self._quick.expire(now)
            spent = self._quick.spent + self.held
            if spent:
                room = min(room, self._quick_most() - spent)
        return max(0, room)

    def take(self, amount: int, free: int, now: float) -> int:
        """Take units of those that ``refill`` has just found; return how many are left."""
        self._count(now, amount)
        gap = self._gap(amount)
        due = self._due = max(self._due, now - CREDIT * self.window) + gap
        soonest = self._soonest = max(self._soonest, now - _LATE_S) + gap / FASTEST
        if now < due or now < soonest:
            return 0
        if self._quick is not None:
            return self.refill(free, now)
        return max(0, min(free, self.ceiling) - amount)  # as a refill would find, now that something counts

    def ready_at(self, amount: int, free: int, now: float) -> float:
        """Return when ``amount`` units may be taken, ``now`` being the last refill."""
        self._ledger.expire(now)
        at = max(
            now, self._due, self._soonest, self.frozen_until, self._back_at(self._ledger, amount, self.ceiling, now)
        )
        if self._quick is not None:
            at = max(at, self._back_at(self._quick, amount, self._quick_most(), now))
        return at

    def lacked(self, amount: int, *, first: bool = True) -> None:
        """Take in that what may go next waits for units, which come by themselves; see ``RateMeter``."""

    def _back_at(self, ledger: RateLedger, amount: int, most: int, now: float) -> float:
        """Return when one ledger alone would let so much be taken."""
        lacking = ledger.spent + self.held + amount - most
        if lacking <= 0 or not ledger.spent + self.held:
            return now
        if lacking <= ledger.spent or not self.held:
            return ledger.free_at(lacking)
        # It waits for what is held: nobody knows for how long.
        return max(ledger.free_at(lacking), now + self.window)

    def _quick_most(self) -> int:
        assert self.quantum is not None
        return max(1, int(self.ceiling * self.quantum / self.window + 1e-9))

    def _gap(self, amount: int) -> float:
        large = amount / self.ceiling - _LARGE
        if large <= 0.0:
            return amount * self.window / self.pace
        pace = self.pace + (self.ceiling - self.pace) * min(1.0, large / _ALL)
        return amount * self.window / pace / (1.0 + _HASTE * large)

    # -- what becomes of what was taken -------------------------------------

    def hold(self, amount: int, taken_at: float) -> None:
        """Count what was taken at a time for as long as it is held."""
        self._ledger.take_back(taken_at, amount)
        if self._quick is not None:
            self._quick.take_back(taken_at, amount)
        self.held += amount

    def stamp(self, amount: int, now: float, *, spent: int | None = None) -> None:
        """Count what was held from ``now`` on.

        Args:
            amount: Units that were held.
            now: When they were sent, or used.
            spent: How many it really was, if that is known and not the same. What was not spent
                puts off nothing.
        """
        self.held -= amount
        if spent is None or spent == amount:
            self._count(now, amount)
            return
        self._count(now, spent)
        if spent < amount:
            self._brought_forward(self._gap(amount) - self._gap(spent))

    def correct(self, sent_at: float, amount: int, *, spent: int) -> int:
        """Count of what was sent only what it really was; return how much counts no longer.

        Args:
            sent_at: When it was sent.
            amount: What was counted for it.
            spent: What it really was, not more than that.
        """
        less = self._ledger.take_back(sent_at, amount - spent)
        if self._quick is not None:
            self._quick.take_back(sent_at, amount - spent)
        self._brought_forward(self._gap(amount) - self._gap(amount - less))
        return less

    def add(self, now: float, amount: int) -> None:
        """Count what was used without having been taken."""
        self._count(now, amount)

    def _count(self, now: float, amount: int) -> None:
        self._ledger.add(now, amount)
        if self._quick is not None:
            self._quick.add(now, amount)

    def give_back(self, amount: int) -> None:
        """Count what was held no more: it was never sent, so it puts off nothing either."""
        self.held -= amount
        self._brought_forward(self._gap(amount))

    def _brought_forward(self, gap: float) -> None:
        self._due -= gap
        self._soonest -= gap / FASTEST

    def spent(self, now: float) -> int:
        """Return how many units count now, those that are held included."""
        self._ledger.expire(now)
        return self._ledger.spent + self.held

    def since(self, start: float) -> list[tuple[float, int]]:
        """Return ``(time, amount)`` of what was sent after a time and still counts, in order."""
        return self._ledger.since(start)

    def check(self) -> None:
        """Verify what holds at every moment."""
        assert self.held >= 0
        self._ledger.check()
