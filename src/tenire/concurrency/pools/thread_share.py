"""How many threads libraries may use for a task in a worker process: as many as its CPU slots are worth.

Otherwise every worker would start as many as there are cores.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tenire.core.admission import CPU
from tenire.core.pool_size import threads_for
from tenire.core.tasks import CPU_UNIT
from tenire.observe.machine import own_cores, own_share

if TYPE_CHECKING:
    from tenire.core.admission import Admission
    from tenire.core.tasks import Needs

__all__ = ["ThreadShare"]


class ThreadShare:
    """Shares out the cores among the worker processes.

    Args:
        admission: Knows how many CPU slots there are.
    """

    def __init__(self, admission: Admission) -> None:
        self._capacity = admission.capacity
        self._cores = functools.cache(own_cores)

    def held(self, needs: Needs | None) -> int:
        """Return the CPU that counts of what a task needs; 0 if that is surely worth one thread only.

        Args:
            needs: What it needs; ``None`` for one slot.
        """
        held = CPU_UNIT if needs is None else 0
        for index, amount in needs or ():
            if index == CPU:
                held = amount
        # As in ``threads_for``, which would be another call for each task.
        return held if held * self._cores() >= 2 * self._capacity[CPU] else 0

    def threads(self, held: int) -> int:
        """Return how many threads libraries may use for a task that holds so much CPU; reads files."""
        return threads_for(held, of=self._capacity[CPU], cores=own_share())
