"""How much of a quota that several processes share one of them may have now.

Each *participant* holds what it spent within the last window and what it was lent and
has not spent yet; together that is what it *used*. Those that want more than they got
are *short*.

1. What all have used, with what is given now, is never more than the limit.
2. The fair share of one who is short, or asks, is the limit by weight among all of
   these. Who asks gets at least what is missing to its own share, if it is there.
3. It gets more than its share only of what others who are short lack less: of the rest
   up to their shares everything is kept for them. So what one does not want, others
   have (max-min fairness: D. Bertsekas, R. Gallager, *Data Networks*, 1992, section 6.5).
4. One whose smallest want does not fit into its share, or into the rest of it, would wait
   for ever, or until all that it has used comes back. When it has used the least of all by
   weight, what it wants is kept for it from everybody, and it may pass its share by that; until
   then the rest of its share is of use to others. What fits into the whole share is kept only
   once ``NEAR`` of it is there: what grows slowly to the size of a large call lies idle for
   seconds, and soon enough of the share comes back.
5. Less than the smallest want is of no use to the one who asks, so it gets nothing then.
6. What does not come back by itself is asked back from one who has more than its share,
   as far as others lack what is missing to theirs.
7. What one may expect in a window is what others leave: of one who is short they take its
   share, or all that it wants if that is less; of another what it has used. It is at least
   the share among all who have used something or want something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NEAR", "Participant", "ahead", "expected", "free_at", "granted", "too_many"]

NEAR = 0.9
"""The part of the smallest want from which on room is kept for it."""


@dataclass(frozen=True, slots=True)
class Participant:
    """One process, or one engine of it, with a part in a quota.

    Attributes:
        used: Units spent within the window, or lent and not given back.
        lacking: Units that it wants and has not got.
        least: Units below which nothing helps it.
        weight: Its part against the others.
    """

    used: int
    lacking: int = 0
    least: int = 1
    weight: float = 1.0


def granted(limit: int, me: Participant, others: Iterable[Participant]) -> int:
    """Return how many units more one may have, from none to what it lacks.

    Args:
        limit: Units for all, in one window.
        me: The one who asks.
        others: Everybody else who has used something or wants something.
    """
    others = list(others)
    short = [other for other in others if other.lacking > 0]
    room = limit - me.used - sum(other.used for other in others)
    whole = me.weight + sum(other.weight for other in short)
    fair = limit * me.weight / whole
    kept = 0
    for other in short:
        share = limit * other.weight / whole
        if other.least > share - other.used:
            wanted = min(other.lacking, other.least)
            near = room >= NEAR * wanted or other.least > share  # what never fits would be passed for ever
            if near and other.used / other.weight < me.used / me.weight:
                room -= wanted
        else:
            kept += min(other.lacking, max(0, round(share) - other.used))
    units = min(me.lacking, max(min(round(fair) - me.used, room), room - kept))
    if me.least > fair - me.used and all(me.used / me.weight <= other.used / other.weight for other in short):
        units = min(me.lacking, max(units, min(me.least, room)))
    return units if units >= min(me.least, me.lacking) else 0


def expected(limit: int, me: Participant, others: Iterable[Participant]) -> int:
    """Return how many units one may expect to have in a window, all things going on as they are.

    Args:
        limit: Units for all, in one window.
        me: The one who asks.
        others: Everybody else who has used something or wants something.
    """
    others = [other for other in others if other.used or other.lacking > 0]
    short = me.weight + sum(other.weight for other in others if other.lacking > 0)
    left = float(limit)
    for other in others:
        wanted = other.used + max(0, other.lacking)
        left -= min(wanted, limit * other.weight / short) if other.lacking > 0 else wanted
    least = limit * me.weight / (me.weight + sum(other.weight for other in others))
    return max(1, round(max(left, least)))


def ahead(me: Participant, others: Iterable[Participant]) -> int:
    """Return how many units are for those who come before one, having used less by weight.

    Args:
        me: The one who asks.
        others: Everybody else who has used something or wants something.
    """
    return sum(
        min(other.lacking, other.least)
        for other in others
        if other.lacking > 0 and other.used / other.weight < me.used / me.weight
    )


def too_many(limit: int, me: Participant, others: Iterable[Participant]) -> int:
    """Return how many units one should give back as soon as it can.

    Args:
        limit: Units for all.
        me: The one who has them.
        others: Everybody else.
    """
    short = [other for other in others if other.lacking > 0]
    whole = me.weight + sum(other.weight for other in short)
    over = me.used - max(1, round(limit * me.weight / whole))
    missing = sum(min(other.lacking, round(limit * other.weight / whole) - other.used) for other in short)
    return max(0, min(over, missing))


def free_at(lacking: int, coming: Iterable[tuple[float, int]]) -> float | None:
    """Return when so many units will have come back, or ``None`` if they never will.

    Args:
        lacking: Units.
        coming: When units come back, and how many, in any order.
    """
    for at, amount in sorted(coming):
        lacking -= amount
        if lacking <= 0:
            return at
    return None
