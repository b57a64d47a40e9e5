"""What the engine leaves out under load: ordered, named levels, entered at once and left slowly.

::

    normal ⇄ elevated ⇄ high ⇄ critical

1. A level is entered after all levels below it, and left before them.
2. Levels are entered at once, several together if need be.
3. They are left one at a time, the first no sooner than ``HOLD_S`` after the last
   move in either direction: what recovers must first prove that it bears the load
   that comes back with each step.
4. The caller runs the hooks; the core only says which, and in which order.

What each level does is in ``MEASURES``; no level stops normal, high or critical work.
Classes are left out for want of the machine or of the loop, and only as long as the load
itself says so: where urgent work waits for its turn, others go last instead
(``core.overload``), and a level is held for longer. Else the machine stood idle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tenire.core.load import Level

__all__ = ["HOLD_S", "MEASURES", "Causes", "Degradation", "Measures", "Move"]

HOLD_S = 30.0
"""Seconds between two steps back to normal."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What holds at one level.

    Attributes:
        burst: Whether a pipeline may take more than its share on credit.
        lowest_class: The last priority class whose tasks start, if this is a matter of the
            machine: 4 idle, 3 low, 2 normal.
    """

    burst: bool
    lowest_class: int


MEASURES: tuple[Measures, ...] = (
    Measures(burst=True, lowest_class=4),
    Measures(burst=False, lowest_class=4),  # periodic jobs run half as often
    Measures(burst=False, lowest_class=3),
    Measures(burst=False, lowest_class=2),
)
"""By level."""


class Causes(NamedTuple):
    """Why less is done for now, in words; empty where nobody has said so.

    Attributes:
        level: The level that holds and what for.
        classes: The same for the level that leaves classes out.
        limits: Why less of a resource may be held than there is.
        gone: What there is less of than there was, where that is why.
    """

    level: str = ""
    classes: str = ""
    limits: str = ""
    gone: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """One step of the ladder, for the caller to carry out.

    Attributes:
        level: The level that was entered or left.
        entered: Whether it was entered.
    """

    level: Level
    entered: bool


class Degradation:
    """The ladder.

    Attributes:
        level: The level that holds.
        leave_at: The earliest time at which a level can be left.
    """

    __slots__ = ("leave_at", "level")

    def __init__(self) -> None:
        self.level = Level.NORMAL
        self.leave_at = 0.0

    def observe(self, wanted: Level, now: float) -> list[Move]:
        """Move towards the level that the load asks for; return the steps taken.

        Args:
            wanted: The level by the load alone.
            now: Seconds on a clock that never goes back.
        """
        moves: list[Move] = []
        while self.level < wanted:
            self.level = Level(self.level + 1)
            moves.append(Move(self.level, entered=True))
        if self.level > wanted and now >= self.leave_at:
            moves.append(Move(self.level, entered=False))
            self.level = Level(self.level - 1)
        if moves:
            self.leave_at = now + HOLD_S
        return moves

    @property
    def measures(self) -> Measures:
        """What holds now."""
        return MEASURES[self.level]
