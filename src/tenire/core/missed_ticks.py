"""What a periodic timer does about ticks that it could not make in time.

::

    due:            1    2    3    4    5          rings at 4.5 instead of 1
                    └ missed: 1, 2, 3 ┘└ made: 4   the next one is 5

1. Ticks lie on a grid: the next one is a whole number of periods after this one,
   however late it comes. So nothing drifts.
2. The latest tick that has come is always made; those before it were missed.
3. ``skip`` leaves the missed ones out; ``once`` makes one call more for all of them;
   ``burst`` makes one call more for each, up to ``MOST_BURST`` of them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["MOST_BURST", "Missed", "Ticks", "ticks_due"]

Missed = Literal["skip", "once", "burst"]
"""See the rules above."""

MOST_BURST = 100


class Ticks(NamedTuple):
    """What to do about the ticks that have come.

    Attributes:
        calls: Calls to make now.
        left_out: Ticks that get no call of their own.
        next_due: When the next tick comes, nanoseconds.
    """

    calls: int
    left_out: int
    next_due: int


def ticks_due(due: int, now: int, period: int, missed: Missed) -> Ticks:
    """Return what to do about a tick that was due at ``due``, and those since.

    Args:
        due: When the first tick was due that has not been made yet, nanoseconds.
        now: Not before it.
        period: Nanoseconds between two ticks.
        missed: The policy.
    """
    late = (now - due) // period
    made_up = {"skip": 0, "once": min(late, 1), "burst": min(late, MOST_BURST)}[missed]
    return Ticks(1 + made_up, late - made_up, due + (late + 1) * period)
