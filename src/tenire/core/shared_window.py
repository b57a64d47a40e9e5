"""The meter of one metric of a quota that other processes use too.

What may be taken is what the engine's own meter allows, and no more than what it was
lent; see ``quota_loans``. The own meter heeds what the server said to this engine, and
spreads calls evenly, by the part that others leave: if each spread them by the whole, it
would be gone in half a window, and urgent calls would wait for the other half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.quota_loans import Borrower
from tenire.core.quota_meter import QuotaMeter
from tenire.core.rate_window import UNLIMITED

if TYPE_CHECKING:
    from tenire.core.rate_report import MetricReport

__all__ = ["SharedWindow"]

_GRAINS = 600
"""Parts of a window in which what was spent is told together."""


_MORE = 1.1
"""By so much more than its part each may spend in a window: what nobody took when it was there is made up for."""


class SharedWindow(QuotaMeter):
    """A ``QuotaMeter`` that takes only of what was lent.

    Args:
        declared: As there.
        window: As there.
        jitter: As there.

    Attributes:
        borrower: What was lent, and what is to be said about it.
        limited: Whether the limit is known.
    """

    __slots__ = ("_part", "borrower", "limited")

    def __init__(self, declared: int | None, window: float = 60.0, jitter: float = 0.5) -> None:
        self.borrower = Borrower(0.0, window / _GRAINS)
        self._part: int | None = None
        super().__init__(declared, window, jitter)

    def set_limit(self, limit: int | None, ceiling: int | None = None) -> None:
        """Change the limit, also while it is used."""
        super().set_limit(limit, ceiling)
        self.limited = self.limit != UNLIMITED
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
        if self.limited:
            self.borrower.lacked(amount, first=first)

    def observe(self, said: MetricReport, own: int, now: float) -> None:
        """Take in what a reply says; what others of this machine use is no concern of the server's other users."""
        super().observe(said._replace(remaining=None) if self.borrower.others else said, own, now)

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
