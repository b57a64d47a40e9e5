"""Which worker processes are better ended: what leaks, what takes all memory, what was stopped.

1. A worker that keeps more than its *allowance* of memory after a task is replaced. A
   limit that somebody has set is the allowance.
2. Otherwise the allowance is learnt: who reaches it within ``FEW_JOBS`` tasks does not
   leak, its tasks just keep that much (a model, say), so the allowance doubles, up to
   ``most``. A leak comes back to any allowance, but ever more seldom.
3. When all workers together take more than ``most`` in two looks in a row, the largest
   is ended: better one task fails than the whole machine.
4. A worker that is stopped (SIGSTOP) in two looks in a row is ended. Once is not enough:
   who stops a whole program, and lets it go on, wakes one process after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

__all__ = ["FEW_JOBS", "FIRST_ALLOWANCE", "WorkerWatch"]

FEW_JOBS = 20
FIRST_ALLOWANCE = 512 << 20


class WorkerWatch:
    """Decides what to end; workers are known by their names.

    Args:
        limit: Bytes that a worker may keep after a task; ``None``: learnt.
        most: Bytes that all workers may take together, or ``None`` while that is not known.

    Attributes:
        most: As given, or found out.
        allowance: Bytes that a worker may keep now.
    """

    __slots__ = ("_crowded", "_fixed", "_stopped", "allowance", "most")

    def __init__(self, *, limit: int | None = None, most: int | None = None) -> None:
        self._fixed = limit is not None
        self.most = most
        self._crowded = False
        self._stopped: Set[str] = frozenset()
        self.allowance = limit if limit is not None else min(FIRST_ALLOWANCE, most or FIRST_ALLOWANCE)

    def found(self, most: int) -> None:
        """Take in how much all workers may take together."""
        self.most = most
        if not self._fixed:
            self.allowance = min(self.allowance, most)

    def keeps_too_much(self, resident: int, jobs: int) -> bool:
        """Return whether a worker is to be replaced.

        Args:
            resident: Bytes that it occupies after a task.
            jobs: Tasks that it has run.
        """
        if resident <= self.allowance:
            return False
        if not self._fixed and jobs <= FEW_JOBS:
            self.allowance *= 2
            if self.most is not None:
                self.allowance = min(self.allowance, self.most)
        return True

    def largest_of_too_much(self, resident: Mapping[str, int]) -> str | None:
        """Take in a look at all workers; return the one that is to be ended for all memory's sake."""
        crowded = self.most is not None and sum(resident.values()) > self.most
        before, self._crowded = self._crowded, crowded
        if not (before and crowded):
            return None
        self._crowded = False  # the memory of the one that goes has to come back first
        return max(resident, key=lambda name: (resident[name], name))

    def stopped_for_good(self, stopped: Set[str]) -> Set[str]:
        """Take in which workers are stopped in this look; return those that are to be ended."""
        before, self._stopped = self._stopped, stopped
        return stopped & before

    @property
    def suspects(self) -> bool:
        """Whether the next look decides something, so that it should come soon."""
        return self._crowded or bool(self._stopped)

    def check(self) -> None:
        """Verify the rules that hold at any time."""
        assert self.allowance > 0
        assert self._fixed or self.most is None or self.allowance <= max(self.most, FIRST_ALLOWANCE)
