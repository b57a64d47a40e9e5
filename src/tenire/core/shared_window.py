"""The meter of one metric of a quota that other processes use too.

What may be taken is what the engine's own meter allows, and no more than what it was
lent; see ``quota_loans``. The own meter heeds what the server said to this engine, and
spreads calls evenly, by the part that others leave: if each spread them by the whole, it
would be gone in half a window, and urgent calls would wait for the other half.

What the server says is left tells of others who use the same key also while several
processes of this user do. What these had used is known only when the file has been asked
the next time: so what a reply says waits for that, and what they used or were lent at any
time since the call was sent, at the most, is theirs. What is used beyond that others have,
and it is lent to nobody. Why a call was refused is told apart by that as well.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from tenire.core.foreign_use import ForeignUse
from tenire.core.quota_loans import LOAN_S, Borrower
from tenire.core.quota_meter import QuotaMeter
from tenire.core.rate_window import FASTEST, UNLIMITED

if TYPE_CHECKING:
    from tenire.core.rate_report import MetricReport

__all__ = ["SharedWindow"]


_GRAINS = 600
"""Parts of a window in which what was spent is told together."""

_MORE = 1.1
"""By so much more than its part each may spend in a window: what nobody took when it was there is made up for."""


class _Unexplained(NamedTuple):
    """What a server said is used and was not sent from here.

    Attributes:
        used: Units.
        limit: Of so many.
        rounding: By how much that may be rounded.
        since: Since when others of this user may have used them.
        at: When it was said.
    """

    used: int
    limit: int
    rounding: int
    since: float
    at: float


class SharedWindow(QuotaMeter):
    """A ``QuotaMeter`` that takes only of what was lent.

    Args:
        declared: As there.
        window: As there.
        jitter: As there.
        every: Whether it borrows also while it knows no limit: another process may know one.

    Attributes:
        borrower: What was lent, and what is to be said about it.
        limited: Whether it takes only of what was lent.
    """

    __slots__ = ("_elsewhere", "_every", "_part", "_refusal", "_unexplained", "borrower", "limited")

    def __init__(self, declared: int | None, window: float = 60.0, jitter: float = 0.5, *, every: bool = False) -> None:
        self._every = every
        self.borrower = Borrower(0.0, window / _GRAINS)
        self._part: int | None = None
        self._elsewhere = ForeignUse(window)
        self._unexplained: _Unexplained | None = None
        self._refusal: tuple[int, float, int] | None = None
        super().__init__(declared, window, jitter)

    def set_limit(self, limit: int | None, ceiling: int | None = None) -> None:
        """Change the limit, also while it is used."""
        super().set_limit(limit, ceiling)
        self.limited = self._every or self.limit != UNLIMITED
        self.borrower.rate = self.rate
        self._spread()

    def spread(self, part: int | None) -> None:
        """Spread calls by so many units in a window from now on; ``None``: by all there are."""
        self._part = part
        self._spread()

    def _spread(self) -> None:
        self.pace = self.ceiling if self._part is None else max(1, min(round(_MORE * self._part), self.ceiling))

    @property
    def alone(self) -> bool:
        """Whether no other process of this user is known to use the quota."""
        return not self.borrower.others

    def refill(self, free: int, now: float) -> int:
        """Return how many units may be taken at ``now``."""
        own = super().refill(free, now)
        return min(own, self.borrower.free(now)) if self.limited else own

    def take(self, amount: int, free: int, now: float) -> int:
        """Take units of those that ``refill`` has just found; return how many are left."""
        if self.limited:
            self.borrower.take(amount)
        return super().take(amount, free, now)

    def ready_at(self, amount: int, free: int, now: float) -> float:
        """Return when ``amount`` units may be taken, ``now`` being the last refill; more may be lent earlier."""
        at = super().ready_at(amount, free, now)
        if not self.limited or amount <= self.borrower.free(now):
            return at
        return max(at, self.borrower.ready_at(amount, now))

    def lacked(self, amount: int, *, first: bool = True) -> None:
        """Take in that what may go next waits for ``amount`` units, and whether it is the first in the row."""
        super().lacked(amount, first=first)
        if self.limited:
            self.borrower.lacked(amount, first=first)

    def observe(self, said: MetricReport, own: int, now: float, sent_at: float | None = None) -> None:
        """Take in what a reply says; if others of this user use the quota too, what is left waits for ``elsewhere``."""
        if not self.borrower.others:
            super().observe(said, own, now)
            return
        super().observe(said._replace(remaining=None), own, now)
        if said.limit is not None and said.limit > 0 and said.remaining is not None and said.remaining >= 0:
            used = said.limit - said.remaining - own
            if self._unexplained is None or used > self._unexplained.used:
                since = (now if sent_at is None else sent_at) - LOAN_S
                self._unexplained = _Unexplained(used, said.limit, said.rounding, since, now)

    def elsewhere(self, used: int, others: int, now: float) -> None:
        """Take in what other processes of this user had used by ``now``, or were lent.

        Args:
            used: Units of theirs within a window.
            others: How many they are; before ``borrower`` knows.
            now: When that was asked, seconds.
        """
        if others and not self.borrower.others:
            self._foreign.forget()  # it was they
        self._elsewhere.note(used, now)
        said = self._unexplained
        if said is None or now < said.at:
            return
        self._unexplained = None
        self._elsewhere.used(now)  # forgets what is older than a window
        if not self._meant.is_second:
            ours = self._elsewhere.most_since(said.since)
            self._foreign.observe(said.limit, said.limit - said.used, said.rounding, ours, now)
            self._apply(now)
        if self._refusal is not None:
            amount, sent_at, left = self._refusal
            self._refusal = None
            super().refused(amount, sent_at, now, left)

    def refused(self, amount: int, sent_at: float, now: float, left: int | None = None) -> None:
        """Take in a refusal; see there. Why it came is known once it is known what others of this user have used."""
        if not self.borrower.others or left is None or left >= amount:
            super().refused(amount, sent_at, now, left)
        elif self._refusal is None:
            self._refusal = amount, sent_at, left

    def to_share(self, now: float) -> int | None:
        """Return how many units all may spend in a window, or ``None``; what is larger goes once nothing counts."""
        if self.known is None:
            return None
        return max(self.for_all(now), min(self.limit, self.borrower.least))

    def _left_to_others(self, now: float) -> int:
        left = super()._left_to_others(now)
        # What is lent to processes of this user and not spent hides as much of what others use.
        hidden = FASTEST * self.limit * LOAN_S / self.window if left and self.borrower.others else 0.0
        return left + math.ceil(hidden)

    def stamp(self, amount: int, now: float, *, spent: int | None = None) -> None:
        """Count what was held from ``now`` on; see ``SlidingWindow.stamp``."""
        super().stamp(amount, now, spent=spent)
        if self.limited:
            self.borrower.spend(amount if spent is None else spent, now, held=amount)

    def correct(self, sent_at: float, amount: int, *, spent: int) -> int:
        """Count of what was sent only what it really was; see ``SlidingWindow.correct``."""
        less = super().correct(sent_at, amount, spent=spent)
        if self.limited and less:
            self.borrower.add(-less, sent_at)
        return less

    def add(self, now: float, amount: int) -> None:
        """Count what was used without having been taken."""
        super().add(now, amount)
        if self.limited:
            self.borrower.add(amount, now)

    def give_back(self, amount: int) -> None:
        """Count what was held no more: it was never sent."""
        super().give_back(amount)
        if self.limited:
            self.borrower.give_back(amount)
