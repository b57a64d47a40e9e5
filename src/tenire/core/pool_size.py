"""How many tasks compute at once: fewer while others need the machine, never none.

1. ``least <= slots <= full``, where ``full`` is what was asked for (or what the
   machine offers, less a reserve) and ``least`` is one slot, or ``full`` if that is less.
   A cluster may come to have more or fewer: then ``full`` changes.
2. Every core that other programs use, for ``RISE`` samples, is left to them. More
   slots than cores were somebody's wish: they shrink in proportion.
3. At an elevated level of the machine at most three quarters of the slots are
   used, at high half, at critical a quarter.
4. Fewer slots hold at once. More come back a step every ``RESTORE_S``; a step is one
   slot, or a quarter of them all if that is more, so the way back takes 20 s at most.
5. What the engine itself computes is no reason to do less.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tenire.core.load import Hysteresis, Level

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RESTORE_S", "PoolSize", "slots_at_rest", "threads_for"]

RESTORE_S = 5.0
"""Seconds between two steps back to all slots."""

_STEPS_BACK = 4

_PART: Mapping[Level, float] = {Level.ELEVATED: 0.75, Level.HIGH: 0.5, Level.CRITICAL: 0.25}


def slots_at_rest(*, cores: int, affinity: int, quota: float | None, reserve: int = 1) -> int:
    """Return the slots of a machine that nobody else uses; at least one.

    Args:
        cores: Logical cores of the machine.
        affinity: Cores that this process may run on.
        quota: Cores' worth of CPU time that control groups allow, or ``None``.
        reserve: Cores left to the rest of the machine.
    """
    there = min(cores, affinity, quota if quota else cores)
    return max(1, int(there) - reserve)


def threads_for(held: float, *, of: float, cores: float) -> int:
    """Return how many threads the libraries of a worker process may use for a task; at least one.

    A slot is worth its part of the cores, so all who hold slots use together no more
    threads than there are cores; but for those whose part is less than a core, and those
    who hold none, since they do not mean to compute: they have one each.

    Args:
        held: CPU slots that the task holds.
        of: How many there are in all.
        cores: Cores' worth of CPU time that is ours.
    """
    # 3 of 10 slots of 10 cores are 3 threads, whatever the rounding.
    return max(1, int(cores * min(1.0, held / of) + 1e-9)) if held else 1


class PoolSize:
    """The number of CPU slots.

    Args:
        full: Slots on a machine that nobody else uses; more than 0.

    Attributes:
        full: As given, or as it was changed last.
        slots: Slots now.
        steady: Whether more samples like the last one would change nothing.
    """

    __slots__ = ("_changed_at", "_cores", "_taken", "full", "slots", "steady")

    def __init__(self, full: float) -> None:
        self.full = full
        self.slots = full
        self.steady = True
        self._cores = full
        self._taken = Hysteresis()
        self._changed_at: float | None = None

    @property
    def least(self) -> float:
        """The slots that always stay."""
        return min(1.0, self.full)

    @property
    def taken(self) -> int:
        """Cores that are left to other programs."""
        return self._taken.value

    def resize(self, full: float) -> None:
        """Take in that there are more slots now, or fewer; those that come are used at once if none is kept back."""
        unused = self.full - self.slots
        self.full = full
        self.slots = min(full, max(self.least, self.slots)) if unused else full

    def observe(self, now: float, *, foreign: float | None, cores: float | None, level: Level) -> float:
        """Take in a sample and return the slots that hold from now on.

        Args:
            now: Seconds on a clock that never goes back.
            foreign: Cores' worth of our CPU time that other programs use, or ``None``
                if that cannot be seen.
            cores: Cores' worth of CPU time that would be ours if we were alone, or
                ``None`` if that cannot be seen.
            level: The level of the machine, by signals that fewer tasks help against.
        """
        taken = self._taken.value
        if foreign is not None and cores:
            self._cores = cores
            # To the nearest whole core: what runs in the background of every system
            # costs nothing, and a program with one thread costs one slot.
            taken = max(0, math.ceil(foreign - 0.5))
            self._taken.observe(taken)
        wanted = max(self.least, self._wanted(level))
        if wanted < self.slots:
            self.slots = wanted
            self._changed_at = now
        elif wanted > self.slots and (self._changed_at is None or now >= self._changed_at + RESTORE_S):
            step = math.ceil(self.full / _STEPS_BACK)
            self.slots = min(wanted, self.slots + step)
            self._changed_at = now
        self.steady = self.slots == wanted and taken == self._taken.value
        return self.slots

    def _wanted(self, level: Level) -> float:
        wanted = self.full
        if level:
            wanted = math.floor(self.full * _PART[level])
        if self._taken.value:
            room = self._cores - self._taken.value
            wanted = min(wanted, math.floor(room * max(1.0, self.full / self._cores)))
        return wanted

    def check(self) -> None:
        """Verify rule 1."""
        assert self.least <= self.slots <= self.full
        self._taken.check()
