"""When one engine asks for a part of a quota that it shares with others, and for how much.

What is lent is spent without asking, until the loan ends. What was spent, and what became
of the rest, is said when the next one is asked for.

1. Nothing is free once a loan has ended, or before there was one. What is held by then
   stays lent until it is spent, or given back.
2. Everything spent is said once; if saying it failed, the next time. What was spent within
   one ``grain`` of time is said together, at its end: a thousand calls a second are ten
   lines to write.
3. Asked for is what waits, and what is likely to be wanted before the loan ends: twice as
   much as at the pace since it was asked last, so that it can grow. Never more than is
   spent at the fastest meanwhile, so that nobody sits on what others could use, or than the
   largest of those that wait takes: so of the calls that fit the largest can go first, and
   not always the smallest.
4. It is asked at once when what waits does not fit, but at most once in ``PERIOD_S``, and
   not before the time at which it was said that asking may help; a little before a loan
   that is used is used up; and when it ends. If nothing was spent, is held or waits,
   never.
5. What is too little for the one that goes first is given back when it is asked, and asked
   for anew with the rest: otherwise each of two engines sits on what the other one needs.
"""

from __future__ import annotations

import math

__all__ = ["LOAN_S", "PERIOD_S", "Borrower"]

LOAN_S = 1.0
"""For how long units are lent."""

PERIOD_S = 0.05
"""Between two times of asking, at least; also how often somebody who waits asks at the most."""

_FASTEST = 2.0  # as ``rate_window``
_RENEW_S = 4 * PERIOD_S
_GROWTH = 2


class Borrower:
    """One metric of a quota as one engine has it.

    Args:
        rate: Units a second that all may spend in the long run.
        grain: Seconds.

    Attributes:
        rate: As above; may be changed.
        allowance: Units of the loan that were not taken.
        held: Units that were taken, and neither spent nor given back.
        until: When the loan ends, seconds.
        waiting: Units that all who wait would take.
        least: Units that the first of those takes, or while nobody knows that the smallest.
        largest: Units that the largest of those takes.
        first: Units that the first in the row waits for, or 0.
        others: How many others were short or had something when it was asked last.
    """

    __slots__ = (
        "_asked_at", "_first_at", "_grain", "_head", "_lent", "_retry_at", "_said", "_spent", "_used",
        "allowance", "first", "held", "largest", "least", "others", "rate", "until", "waiting",
    )  # fmt: skip

    def __init__(self, rate: float, grain: float = 0.1) -> None:
        self.rate = rate
        self._grain = grain
        self.allowance = 0
        self.held = 0
        self.until = -math.inf
        self.waiting = 0
        self.least = 1
        self.largest = 1
        self.others = 0
        self.first = 0
        self._first_at = -math.inf
        self._head = 0  # units that the one takes which may go next, if it waits for them
        self._lent = 0
        self._used = 0  # of this loan
        self._spent: list[tuple[float, int]] = []
        self._said: list[tuple[float, int]] = []  # what is being said just now
        self._asked_at = -math.inf
        self._retry_at = -math.inf

    def free(self, now: float) -> int:
        """Return how much may be spent at ``now``."""
        return max(0, self.allowance) if now < self.until else 0

    def take(self, amount: int) -> None:
        """Take in that units were taken; until they are spent, or given back, they are held."""
        self.allowance -= amount
        self.held += amount
        self._used += amount
        self._head = self.first = 0

    def spend(self, amount: int, at: float, *, held: int | None = None) -> None:
        """Take in that of what was held so much was spent; ``held``, if that is not the same."""
        # What was taken before anybody knew a limit was not lent.
        self.held = max(0, self.held - (amount if held is None else held))
        if amount:
            self.add(amount, at)

    def give_back(self, amount: int) -> None:
        """Take in that what was held is not going to be spent."""
        amount = min(amount, self.held)
        self.held -= amount
        self.allowance += amount  # if the loan has ended, that is worth nothing

    def add(self, amount: int, at: float) -> None:
        """Take in that more was spent at a time than was said, or less if ``amount`` is below zero."""
        end = math.ceil(at / self._grain) * self._grain
        spent = self._spent
        if spent and spent[-1][0] == end:
            spent[-1] = end, spent[-1][1] + amount
        else:
            spent.append((end, amount))

    def lacked(self, amount: int, *, first: bool = True) -> None:
        """Take in that what may go next waits for ``amount`` units, and whether it is the first in the row."""
        self._head = amount
        if first:
            self.first = amount

    def want(self, waiting: int, least: int, largest: int) -> None:
        """Take in what waits now: all of it, and the smallest and the largest of what waits."""
        self.waiting = waiting
        self.largest = max(1, least, largest)
        self.least = max(1, least, min(self._head, self.largest))

    def due_at(self, now: float) -> float | None:
        """Return when to ask, or ``None`` if there is nothing to say and nothing to want."""
        free = self.free(now)
        if self.waiting and self.least > free:
            # A rest too small for anybody is of use once more has come back, or after the loan to others.
            at = self._retry_at if self.allowance <= 0 else min(self._retry_at, self.until)
            return max(self._asked_at + PERIOD_S, at)
        if free and self._used and free < max(self.least, self._lent // 2):
            return max(self._asked_at + _RENEW_S, self._retry_at)
        if self.allowance > 0 or self.held or self._spent:
            return max(self.until, self._asked_at + PERIOD_S)
        return None

    def ask(self, now: float) -> tuple[list[tuple[float, int]], int, int, int]:
        """Return what was spent, and how much to keep, to want, and to take at the most; then say how it went."""
        elapsed = max(PERIOD_S, min(LOAN_S, now - self._asked_at))
        wanted = max(self.waiting, math.ceil(_GROWTH * self._used * LOAN_S / elapsed))
        free = self.free(now)
        free = self.allowance = min(free, wanted) if free >= self.least else 0  # rule 5
        self._said, self._spent = self._spent, []
        self._asked_at = now
        self._used = 0
        most = max(self.largest, math.ceil(self.rate * LOAN_S * _FASTEST))
        return self._said, free + self.held, max(0, wanted - free), max(0, most - free)

    def ready_at(self, amount: int, now: float) -> float:
        """Return when so many units are likely to have been lent, more than are free now."""
        at = now + LOAN_S
        return max(at, self._first_at) if amount >= self.first else at

    def lent(
        self, more: int, until: float, retry_at: float | None, others: int, *, first_at: float = -math.inf
    ) -> None:
        """Take in what was lent beside what was kept, and when there may be enough for the first in the row."""
        self._said = []
        self.allowance += more
        self._lent = self.allowance
        self.until = until
        self.others = others
        self._first_at = first_at
        self._retry_at = -math.inf if retry_at is None else retry_at

    def failed(self) -> None:
        """Take in that what was said was not heard, and nothing was lent."""
        self._spent = self._said + self._spent
        self._said = []
