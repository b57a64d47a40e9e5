"""The meter of one metric of a quota, kept at what the server takes by what it says and does.

=========================== ================================================================
the server                  what follows
=========================== ================================================================
names a limit               the smaller of that and the declared one holds
… by the second             it is one of a second; see ``announced_window``
says that less is left      others use the same quota, and what they use is left to them
refuses a call              nothing is sent for as long as it says; if it says nothing, for
                            a sixtieth of a window, twice that the next time, and so on
… though there was room     the margin for the time on the way doubles; it shrinks again by
                            a tenth a minute
… for the third time        perhaps it enforces the limit by the second; see ``quantum_search``
… for any other reason      the limit is less than it says, or nobody named one: it is
                            learned; see ``learned_rate``
=========================== ================================================================

Refusals of calls that were on their way together are one: only a call that was sent after
the last answer to a refusal is another. And while nobody names a limit, a refusal here and there is chance: servers
refuse for other reasons too. A limit is learned when every second call is refused.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tenire.core.announced_window import SECOND, AnnouncedWindow
from tenire.core.foreign_use import ForeignUse
from tenire.core.learned_rate import LearnedRate
from tenire.core.quantum_search import ENOUGH, QuantumSearch
from tenire.core.rate_window import UNLIMITED, SlidingWindow

if TYPE_CHECKING:
    from tenire.core.rate_report import MetricReport

__all__ = ["QuotaMeter"]

_WIDEST = 0.25
"""Part of a window that the margin can grow to."""
_SHRINKS = 0.9
_MINUTE_S = 60.0
_PAUSE = 1 / 60
_LONGEST_PAUSE = 1 / 4
_LOOK = 1 / 60
"""Parts of a window."""
_MORE = 0.05
"""By so much others may use more until we hear of it."""
_WEIGHT = 0.2
_MANY = 0.45
"""Part of the last calls; three refusals in a row are more."""
_SOME = 0.3
"""Two in a row are."""
_ONE = 0.19
"""One is, after any number of accepted calls."""
_MEMORY = 5.0
"""Windows without a refusal after which refusals are counted anew."""


class QuotaMeter(SlidingWindow):
    """The meter of one metric, kept at what the server takes.

    Args:
        declared: The limit that the user named, or ``None``.
        window: Seconds.
        jitter: By how much the time on the way to the server varies, seconds.

    Attributes:
        declared: As given.
        announced: The limit that the server named last, in one window, or ``None``.
        refused_share: Part of the last calls that were refused.
    """

    __slots__ = (
        "_accepted_at", "_answered_at", "_foreign", "_jitter", "_lacking", "_learned", "_look_at", "_meant", "_pause",
        "_quantum", "_refusals", "_shrunk_at", "announced", "declared", "refused_share",
    )  # fmt: skip

    def __init__(self, declared: int | None, window: float = 60.0, jitter: float = 0.5) -> None:
        super().__init__(declared, window, jitter)
        self.declared = declared
        self.announced: int | None = None
        self._jitter = jitter
        self._foreign = ForeignUse(window)
        self._quantum = QuantumSearch(window)
        self._meant = AnnouncedWindow(window)
        self._learned = LearnedRate(window)
        self._accepted_at = self._answered_at = self._shrunk_at = self._look_at = float("-inf")
        self._refusals = self._lacking = 0
        self.refused_share = 0.0
        self._pause = _PAUSE * window

    @property
    def known(self) -> int | None:
        """The limit that somebody named, the smaller of two."""
        declared, announced = self.declared, self.announced
        if declared is None or announced is None:
            return announced if declared is None else declared
        return min(declared, announced)

    @property
    def source(self) -> str:
        """Where the limit is from: ``declared``, ``announced``, ``learned`` or ``unknown``."""
        if self._learned.limit is not None:
            return "learned"
        if self.known is None:
            return "unknown"
        return "declared" if self.known == self.declared else "announced"

    @property
    def alone(self) -> bool:
        """Whether no other process of this user is known to use the quota."""
        return True

    def for_all(self, now: float) -> int:
        """Return the units in a window that all processes of this user together may spend."""
        known = self.known
        most = UNLIMITED if known is None else known
        return most if self.announced is None else min(most, self.announced - self._left_to_others(now))

    def _left_to_others(self, now: float) -> int:
        """Return the units in a window that are left to others who use the key."""
        others = self._foreign.used(now)
        return others + math.ceil(_MORE * others)

    # -- as one of the resources -------------------------------------------

    def refill(self, free: int, now: float) -> int:
        """Return how many units may be taken at ``now``."""
        if now >= self._look_at:
            self._advance(now)
        return super().refill(free, now)

    def ready_at(self, amount: int, free: int, now: float) -> float:
        """Return when ``amount`` units may be taken, or when to look again whether that has changed."""
        at = super().ready_at(amount, free, now)
        return min(at, max(self._look_at, now)) if self._gives_back() else at

    def lacked(self, amount: int, *, first: bool = True) -> None:
        """Take in that what may go next waits for ``amount`` units, and whether it is the first in the row."""
        self._lacking = amount

    def _gives_back(self) -> bool:
        """Return whether what it holds back now may be less soon."""
        return self.ceiling < self.limit or self.margin > self._jitter or self._learned.limit is not None

    # -- what people and the server say and do ----------------------------------

    def declare(self, limit: int | None, now: float) -> None:
        """Change the limit that the user names."""
        self.declared = limit
        self._apply(now)

    def observe(self, said: MetricReport, own: int, now: float, sent_at: float | None = None) -> None:
        """Take in what a reply says.

        Args:
            said: That.
            own: The most that was sent from here within a window, between the sending of the call and now.
            now: Seconds on a clock that never goes back.
            sent_at: When the call was sent; ``None``: now.
        """
        if said.limit is None or said.limit <= 0:
            return
        self.announced = said.limit
        if said.remaining is not None and said.remaining >= 0:
            if not said.rounding:
                self._look_how_soon(said.limit, said.limit - said.remaining, said.reset_s, now)
            if not self._meant.is_second:
                self._foreign.observe(said.limit, said.remaining, said.rounding, own, now)
        if self._meant.is_second:
            self.announced = round(said.limit * self.window / SECOND)
        self._apply(now)

    def _look_how_soon(self, limit: int, used: int, reset_s: float | None, now: float) -> None:
        if not self._meant.asks(limit):
            return  # nor is what was sent lately added up for it, with every reply
        was_second = self._meant.is_second
        lately = sum(amount for _, amount in self.since(now - 2 * SECOND)) + self.held
        self._meant.observe(limit, used, reset_s, lately, now)
        if self._meant.is_second is not was_second:
            self._enforce(now)

    def _enforce(self, now: float) -> None:
        """Keep to the seconds by which the server counts, as far as that is known."""
        quantum = self._quantum.quantum
        self.set_quantum(SECOND if quantum is None and self._meant.is_second else quantum, now)

    def knows(self, said: MetricReport, own: int) -> bool:
        """Return whether a reply, see ``observe``, says nothing but what is known: most of them do.

        Args:
            said: What it says.
            own: What was sent from here when the call was sent, or more.
        """
        if said.limit != self.announced or said.limit is None or self._foreign.seen:
            return False
        if said.reset_s is not None and not self._meant.settled:
            return False
        return said.remaining is not None and said.limit - said.remaining - own <= said.rounding

    def freeze(self, retry_after: float | None, now: float) -> None:
        """Take in that the server wants no calls for some seconds, or does not say for how many."""
        if retry_after is None:
            if self.known is None and self.refused_share < _SOME:
                return  # it may be chance
            retry_after = self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE * self.window)
        self.frozen_until = max(self.frozen_until, now + retry_after)

    def accepted(self, now: float) -> None:
        """Take in that a call was accepted."""
        self._accepted_at = now
        self.refused_share *= 1.0 - _WEIGHT
        self._pause = _PAUSE * self.window

    def refused(self, amount: int, sent_at: float, now: float, left: int | None = None) -> None:
        """Take in that a call was refused though this metric had room, or nobody knows its limit.

        Args:
            amount: What it needed.
            sent_at: When it was sent.
            now: Seconds on a clock that never goes back.
            left: What the server says is left, after ``observe`` has taken it in.
        """
        self.refused_share += (1.0 - self.refused_share) * _WEIGHT
        known = self.known
        many = _MANY if self._learned.limit is None else _ONE
        if sent_at <= self._answered_at or (known is None and self.refused_share < many):
            return
        if now > self._answered_at + _MEMORY * self.window:
            self._refusals = 0
        self._answered_at = self._shrunk_at = now
        self._refusals += 1
        teaches = now <= self._accepted_at + self.window
        if known is None:
            if teaches:
                self._learned.cut(max(0, self.spent(now) - amount), now)
        elif self._meant.is_second:
            self._meant.deny()
            self.announced = round(self.announced * SECOND / self.window) if self.announced is not None else None
            self._enforce(now)
        elif left is not None and left < amount and self._foreign.used(now):
            pass  # others were faster, and what they use is known now
        elif (left is None or left >= amount) and self._by_quantum(amount, sent_at, known):
            self._enforce(now)
            self.margin = self._jitter  # it was not the time on the way,
            self._learned.forget()  # nor the limit
        else:
            self.margin = max(self.margin, min(2 * self.margin, _WIDEST * self.window))
            if self._refusals >= ENOUGH and teaches:
                self._learned.cut(self.spent(now), now, known=known)
        self._apply(now)

    def _by_quantum(self, amount: int, sent_at: float, known: int) -> bool:
        """Return whether a refusal has shown another quantum."""
        found = self._quantum.refused(sent_at, amount, self.since(sent_at - self.window), known, self._jitter)
        if self._quantum.quantum is None and self.quantum is not None:
            self._enforce(sent_at)
        return found

    def _advance(self, now: float) -> None:
        """Give back bit by bit what was given up."""
        self._look_at = now + _LOOK * self.window
        if self._quantum.relax(now):
            self._enforce(now)
        if self.margin > self._jitter:
            self.margin = max(self._jitter, self.margin * _SHRINKS ** ((now - self._shrunk_at) / _MINUTE_S))
            self._shrunk_at = now
        if self._learned.limit is not None:
            self._learned.grow(self.spent(now), now, known=self.known, lacking=self._lacking)
        self._lacking = 0
        self._apply(now)

    def _apply(self, now: float) -> None:
        known, learned = self.known, self._learned.limit
        ceiling = self.for_all(now)
        if learned is not None:
            ceiling = min(ceiling, int(learned))
        if ceiling != self.ceiling or known != self.limit:
            self.set_limit(known, ceiling)

    def check(self) -> None:
        """Verify what holds at every moment."""
        super().check()
        assert self.margin >= self._jitter - 1e-9
        assert 1 <= self.ceiling <= self.limit
        assert self.quantum == (self._quantum.quantum or (SECOND if self._meant.is_second else None))
        for part in (self._foreign, self._quantum, self._learned):
            part.check()
