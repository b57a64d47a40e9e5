"""Noticing that the machine was asleep."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tenire.clock import Asleep, SleepClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.clock import Clock

__all__ = ["Suspended", "Suspension"]

_LEAST_NS = 2_000_000_000
"""Less is no suspension: a step of the wall clock by a time server, or the reading of two clocks."""

_NONE = Asleep(0, 0)


@dataclass(frozen=True, slots=True)
class Suspended:
    """The machine was asleep, and is awake again.

    Attributes:
        seconds: How long.
        certain: Whether the system says so. If not, the wall clock ran ahead of the
            other one, which it also does when somebody sets it.
    """

    seconds: float
    certain: bool


class Suspension:
    """Compares clocks that go on while the machine is asleep with one that does not.

    Attributes:
        certain: Whether the clock knows; otherwise its wall clock is the hint.
    """

    __slots__ = ("_asleep", "_before", "certain")

    def __init__(self, clock: Clock) -> None:
        self._asleep: Callable[[], Asleep | None]
        self.certain = isinstance(clock, SleepClock) and clock.asleep() is not None
        self._asleep = clock.asleep if isinstance(clock, SleepClock) and self.certain else partial(_ahead, clock)
        self._before = self._asleep() or _NONE

    def look(self) -> Asleep:
        """Return how long the machine was asleep since the last look."""
        before, self._before = self._before, self._asleep() or self._before
        total = self._before.total_ns - before.total_ns
        if total < _LEAST_NS:
            return _NONE
        return Asleep(total, self._before.unseen_ns - before.unseen_ns)


def _ahead(clock: Clock) -> Asleep:
    # What is unseen stays 0: ticks are not made up for because somebody set the clock.
    return Asleep(round(clock.wall() * 1e9) - clock.now_ns(), 0)
