"""Whether a task's resources are free: all of them, or none is taken.

Amounts are whole numbers (bytes, thousandths of a CPU slot, slots), so what was
taken is given back exactly.

1. For each resource, ``0 <= free <= capacity`` unless the capacity was lowered
   below what is held; then nothing more is given until enough came back.
2. Taken is the sum of what running tasks need, and of what is set aside, at every step.
3. A task that needs more than the whole capacity is refused when it is submitted.
4. What is taken of a rate is not given back: it comes back with time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.rates import TokenBucket
from tenire.core.tasks import CPU_UNIT, Needs, Resources
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tenire.core.rates import RateMeter
    from tenire.core.tasks import Task

__all__ = ["CPU", "MEMORY", "PROCESSES", "RESIDENT", "SLOTS", "THREADS", "Admission"]

CPU, MEMORY, THREADS, PROCESSES = range(4)
"""Indices of the resources that every engine has."""

SLOTS = 1 << CPU | 1 << THREADS | 1 << PROCESSES
"""The set of those that are held only as long as something runs, one bit each."""

RESIDENT = "resident memory"
"""Name of the machine's memory, from which worker processes take what such tasks
usually took; there once somebody has looked at the machine."""

_MOST_SLOTS = 10**15
"""More is no different, and beyond the largest float there would be no number for it."""

_MOST_KNOWN = 256
"""``Resources`` objects whose meaning is remembered."""


class Admission:
    """What there is, and what is free.

    Attributes:
        names: Names of the resources, by index.
        capacity: How much there is, by index.
        free: How much is free, by index.
        rates: Those that come back with time, by index; their capacity is the burst.
        rate_mask: The set of these, one bit each.
        aside: How much is set aside for what gives way to tasks, by index.
    """

    __slots__ = ("_index", "_known", "aside", "capacity", "free", "names", "rate_mask", "rates")

    def __init__(self, *, cpu: float, memory: int, threads: int, processes: int) -> None:
        self.names: list[str] = []
        self.capacity: list[int] = []
        self.free: list[int] = []
        self.rates: dict[int, RateMeter] = {}
        self.rate_mask = 0
        self.aside: dict[int, int] = {}
        self._index: dict[str, int] = {}
        self._known: dict[int, tuple[Resources, Needs]] = {}
        self.register("cpu", round(cpu * CPU_UNIT))
        self.register("memory", memory)
        self.register("threads", threads)
        self.register("processes", processes)

    def register(self, name: str, capacity: int) -> int:
        """Add a resource, or change its capacity; return its index."""
        self._known.clear()
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

    def index_of(self, name: str) -> int | None:
        """Return the index of a resource, or ``None`` if there is none of that name."""
        return self._index.get(name)

    def register_rate(self, name: str, per_second: float, burst: int) -> int:
        """Add a resource that comes back with time, or change it; return its index.

        Args:
            name: Its name.
            per_second: Units that come back each second.
            burst: Units that can be saved up; the most that one task can need.
        """
        return self.register_meter(name, TokenBucket(per_second, burst), burst)

    def register_meter(self, name: str, meter: RateMeter, most: int) -> int:
        """Add a resource of which a meter says how much is free, or change it; return its index.

        Args:
            name: Its name.
            meter: What decides how much is free.
            most: The most that one task can need.
        """
        index = self.register(name, most)
        self.free[index] = max(0, self.free[index])
        self.rates[index] = meter
        self.rate_mask |= 1 << index
        return index

    def refill(self, now: float) -> None:
        """Bring the rates up to ``now``."""
        for index, bucket in self.rates.items():
            self.free[index] = bucket.refill(self.free[index], now)

    def needs(self, resources: Resources, task: str) -> Needs:
        """Turn resources into the core's form.

        Raises:
            RejectedError: If there is not that much in the whole engine.
            ConfigError: If a resource was never registered.
        """
        # The same object is passed for task after task; a changed capacity forgets all.
        known = self._known.get(id(resources))
        if known is not None and known[0] is resources:
            return known[1]
        needs = self._read(resources, task)
        if not resources.other:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[id(resources)] = (resources, needs)
        return needs

    def _read(self, resources: Resources, task: str) -> Needs:
        wanted: dict[int, int] = {}
        if resources.cpu:
            wanted[CPU] = max(1, round(min(resources.cpu, _MOST_SLOTS) * CPU_UNIT))
        if resources.memory:
            wanted[MEMORY] = int(resources.memory)
        for name, amount in resources.other.items():
            index = self._index.get(name)
            if index is None:
                known = ", ".join(self.names)
                message = f"task {task!r} needs a resource that does not exist: {name!r} (there are: {known})"
                raise ConfigError(message, key=name)
            # One entry for each resource: two would each fit where their sum does not.
            units = min(amount, _MOST_SLOTS) * CPU_UNIT if index == CPU else amount
            wanted[index] = wanted.get(index, 0) + int(units)
        needs = tuple((index, amount) for index, amount in wanted.items() if amount)
        self.require(needs, task)
        return needs

    def require(self, needs: Needs, task: str) -> None:
        """Refuse what the whole capacity would not do for; it may have been lowered meanwhile.

        Raises:
            RejectedError: If there is not that much in the whole engine.
        """
        capacity = self.capacity
        for index, amount in needs:
            if amount > capacity[index]:
                message = (
                    f"task {task!r} needs {self.shown(index, amount)} but the whole engine has "
                    f"{self.shown(index, capacity[index])}"
                )
                raise RejectedError(message, hint=self._remedy(index))

    def _remedy(self, index: int) -> str:
        name = self.names[index]
        if index in (CPU, MEMORY):
            return f"ask for less, or give the engine more: ConcurrencyManager({name}=…)"
        more = f"register_rate({name!r}, …, burst=…)" if index in self.rates else f"register_resource({name!r}, …)"
        return f"ask for less, or give the engine more: orchestrator.{more}"

    def shown(self, index: int, amount: int) -> str:
        """Return an amount of a resource for people."""
        if index == CPU:
            return f"{amount / CPU_UNIT:g} CPU slot{'' if amount == CPU_UNIT else 's'}"
        if index == MEMORY or self.names[index] == RESIDENT:
            return f"{amount:,} bytes of {self.names[index]}"
        return f"{amount} of {self.names[index]}"

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

    def possible(self, needs: Needs) -> bool:
        """Return whether the whole capacity would do; it may have been lowered meanwhile."""
        capacity = self.capacity
        return all(amount <= capacity[index] for index, amount in needs)

    def take(self, needs: Needs, now: float) -> tuple[float, float]:
        """Take resources that ``lacking`` has just found free; return their ``share`` and their ``toll``."""
        free, capacity, rates = self.free, self.capacity, self.rates
        share = toll = 0.0
        for index, amount in needs:
            meter = rates.get(index)
            if meter is None:
                free[index] -= amount
                part = amount / capacity[index]
                if part > share:
                    share = part
            else:
                free[index] = meter.take(amount, free[index], now)
                seconds = amount / meter.rate
                if seconds > toll:
                    toll = seconds
        return share, toll

    def give(self, needs: Needs) -> None:
        """Give back what was taken; what comes back with time does not."""
        free = self.free
        rates = self.rates
        for index, amount in needs:
            if index not in rates:
                free[index] += amount

    def set_aside(self, index: int, amount: int) -> None:
        """Keep an amount from tasks, in place of what was set aside before; 0 gives all of it back.

        For what gives way as soon as a task lacks it: it never makes a task impossible.
        """
        self.free[index] += self.aside.pop(index, 0) - amount
        if amount:
            self.aside[index] = amount

    def share(self, needs: Needs) -> float:
        """Return the largest share of one resource that these needs hold, 0 to 1."""
        share = 0.0
        capacity = self.capacity
        rates = self.rates
        for index, amount in needs:
            if index not in rates:
                whole = capacity[index]
                part = amount / whole if whole else 1.0
                share = max(share, part)
        return share

    def toll(self, needs: Needs) -> float:
        """Return how many seconds of one rate these needs use up, the largest of them."""
        toll = 0.0
        for index, amount in needs:
            meter = self.rates.get(index)
            if meter is not None:
                toll = max(toll, amount / meter.rate)
        return toll

    def ready_at(self, needs: Needs, now: float) -> float:
        """Return when the rates alone would do, ``now`` being the last refill."""
        rates = self.rates
        return max(
            (rates[index].ready_at(amount, self.free[index], now) for index, amount in needs if index in rates),
            default=now,
        )

    def wait_for(self, needs: Needs, now: float, *, first: bool = True) -> float:
        """Have the rates know what may go next, and waits for them; return as ``ready_at`` does.

        Args:
            needs: What it needs.
            now: The last refill.
            first: Whether it is the first in its row, or may overtake that.
        """
        for index, amount in needs:
            meter = self.rates.get(index)
            if meter is not None:
                meter.lacked(amount, first=first)
        return self.ready_at(needs, now)

    def rank(self, index: int) -> int:
        """Return the place of a resource in the order of asking: bytes, CPU, slots, rates."""
        if index in self.rates:
            return 1 << 30
        return (1, 0)[index] if index <= MEMORY else index

    def held(self) -> Mapping[str, tuple[int, int]]:
        """Return ``{name: (held, capacity)}``; of a rate, what is used up for now."""
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
            if index in self.rates:
                assert 0 <= self.free[index] <= capacity, self.names[index]
                continue
            assert self.free[index] == capacity - taken[index] - self.aside.get(index, 0), self.names[index]
