"""Whether a task's resources are free: all of them, or none is taken.

Amounts are whole numbers (bytes, thousandths of a CPU slot, slots), so what was
taken is given back exactly.

1. For each resource, ``0 <= free <= capacity`` unless the capacity was lowered
   below what is held; then nothing more is given until enough came back.
2. Taken is the sum of what running tasks need, at every step.
3. A task that needs more than the whole capacity is refused when it is submitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.tasks import CPU_UNIT, Needs, Resources
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tenire.core.tasks import Task

__all__ = ["CPU", "MEMORY", "PROCESSES", "THREADS", "Admission"]

CPU, MEMORY, THREADS, PROCESSES = range(4)
"""Indices of the resources that every engine has."""


class Admission:
    """What there is, and what is free.

    Attributes:
        names: Names of the resources, by index.
        capacity: How much there is, by index.
        free: How much is free, by index.
    """

    __slots__ = ("_index", "capacity", "free", "names")

    def __init__(self, *, cpu: float, memory: int, threads: int, processes: int) -> None:
        self.names: list[str] = []
        self.capacity: list[int] = []
        self.free: list[int] = []
        self._index: dict[str, int] = {}
        self.register("cpu", round(cpu * CPU_UNIT))
        self.register("memory", memory)
        self.register("threads", threads)
        self.register("processes", processes)

    def register(self, name: str, capacity: int) -> int:
        """Add a resource, or change its capacity; return its index."""
        index = self._index.get(name)
        if index is None:
            index = self._index[name] = len(self.names)
            self.names.append(name)
            self.capacity.append(capacity)
            self.free.append(capacity)
        else:
            self.free[index] += capacity - self.capacity[index]
            self.capacity[index] = capacity
        return index

    def needs(self, resources: Resources, *, task: str) -> Needs:
        """Turn resources into the core's form.

        Raises:
            RejectedError: If there is not that much in the whole engine.
            ConfigError: If a resource was never registered.
        """
        wanted: dict[int, int] = {}
        if resources.cpu:
            wanted[CPU] = max(1, round(resources.cpu * CPU_UNIT))
        if resources.memory:
            wanted[MEMORY] = int(resources.memory)
        for name, amount in resources.other.items():
            index = self._index.get(name)
            if index is None:
                known = ", ".join(self.names)
                message = f"task {task!r} needs a resource that does not exist: {name!r} (there are: {known})"
                raise ConfigError(message, key=name)
            # One entry for each resource: two would each fit where their sum does not.
            wanted[index] = wanted.get(index, 0) + int(amount * CPU_UNIT if index == CPU else amount)
        for index, amount in wanted.items():
            if amount > self.capacity[index]:
                message = (
                    f"task {task!r} needs {self._shown(index, amount)} but the whole engine has "
                    f"{self._shown(index, self.capacity[index])}"
                )
                raise RejectedError(message, hint=self._remedy(index))
        return tuple((index, amount) for index, amount in wanted.items() if amount)

    def _remedy(self, index: int) -> str:
        name = self.names[index]
        if index in (CPU, MEMORY):
            return f"ask for less, or give the engine more: ConcurrencyManager({name}=…)"
        return f"ask for less, or give the engine more: orchestrator.register_resource({name!r}, …)"

    def _shown(self, index: int, amount: int) -> str:
        if index == CPU:
            return f"{amount / CPU_UNIT:g} CPU slots"
        return f"{amount:,} bytes of memory" if index == MEMORY else f"{amount} of {self.names[index]}"

    def lacking(self, needs: Needs) -> int:
        """Return the set of resources that are not free enough, one bit each."""
        lacking = 0
        free = self.free
        for index, amount in needs:
            if free[index] < amount:
                lacking |= 1 << index
        return lacking

    def used_up(self) -> int:
        """Return the set of resources of which nothing is free, one bit each."""
        used_up = 0
        for index, free in enumerate(self.free):
            if free <= 0:
                used_up |= 1 << index
        return used_up

    def spoken_for(self, needs: Needs, kept: Mapping[int, int]) -> bool:
        """Return whether these needs, free as they are, would touch what is kept for others."""
        free = self.free
        return any(free[index] - kept.get(index, 0) < amount for index, amount in needs)

    def possible(self, needs: Needs) -> bool:
        """Return whether the whole capacity would do; it may have been lowered meanwhile."""
        capacity = self.capacity
        return all(amount <= capacity[index] for index, amount in needs)

    def take(self, needs: Needs) -> None:
        """Take resources that ``lacking`` has just found free."""
        free = self.free
        for index, amount in needs:
            free[index] -= amount

    def give(self, needs: Needs) -> None:
        """Give back what was taken."""
        free = self.free
        for index, amount in needs:
            free[index] += amount

    def share(self, needs: Needs) -> float:
        """Return the largest share of one resource that these needs take, 0 to 1."""
        capacity = self.capacity
        return max(amount / capacity[index] for index, amount in needs)

    def held(self) -> Mapping[str, tuple[int, int]]:
        """Return ``{name: (held, capacity)}``."""
        return {
            name: (self.capacity[index] - self.free[index], self.capacity[index])
            for index, name in enumerate(self.names)
        }

    def named(self, mask: int) -> list[str]:
        """Return the names of a set of resources."""
        return [name for index, name in enumerate(self.names) if mask >> index & 1]

    def check(self, running: Iterable[Task]) -> None:
        """Verify rules 1 and 2."""
        taken = [0] * len(self.names)
        for task in running:
            for index, amount in task.needs:
                taken[index] += amount
        for index, capacity in enumerate(self.capacity):
            assert self.free[index] == capacity - taken[index], self.names[index]
