"""The pure scheduler on a virtual time of its own: pipelines that never run dry, and what is their due.

The real core decides; only the machine is made up. A task holds what it took for a
drawn time and then ends, so thousands of virtual seconds cost a few real ones, and a
seed gives the same figures on any machine.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from tenire.core.admission import Admission
from tenire.core.scheduler import Scheduler
from tenire.core.tasks import CPU_UNIT, Resources, State, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["JITTER", "Machine", "Outcome", "Stream", "due", "fraction", "has_rates"]

JITTER = 0.2
"""A task takes its stream's duration, give or take this part of it."""

_MOST = 256
_BACKLOG = _MOST + 44  # more than one decision starts, so that no stream ever runs dry


@dataclass(slots=True)
class Stream:
    """A pipeline that always has tasks waiting, all alike but for their duration.

    Attributes:
        name: The pipeline's name.
        needs: What each task takes; what is named in the machine's rates is used up at the start.
        seconds: Mean duration of a task.
        weight: The pipeline's weight.
    """

    name: str
    needs: Resources
    seconds: float = 1.0
    weight: float = 1.0

    def amounts(self) -> dict[str, float]:
        """Return what a task takes, by name."""
        taken = {"cpu": self.needs.cpu, "memory": float(self.needs.memory), **self.needs.other}
        return {name: amount for name, amount in taken.items() if amount}


@dataclass(slots=True)
class Outcome:
    """What the streams got between the end of the warm-up and the end of a run.

    Attributes:
        shares: Dominant share of each stream, divided by its weight.
        used: Part of each resource that was in use.
        gaps: Longest time without a start, for each stream, seconds.
        starts: Tasks started.
    """

    shares: dict[str, float] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)
    gaps: dict[str, float] = field(default_factory=dict)
    starts: int = 0


class Machine:
    """Resources to share out, and the scheduler that does it.

    Args:
        cpu: CPU slots.
        memory: Bytes.
        slots: Further resources that are held, by name.
        rates: Resources that come back with time: ``{name: (per second, at most saved up)}``.
    """

    def __init__(
        self,
        *,
        cpu: float,
        memory: int,
        slots: Mapping[str, int] | None = None,
        rates: Mapping[str, tuple[float, int]] | None = None,
    ) -> None:
        admission = Admission(cpu=cpu, memory=memory, threads=1, processes=1)
        self.scheduler = Scheduler(admission)
        self.capacity: dict[str, float] = {"cpu": cpu, "memory": float(memory)}
        self.rates = frozenset(rates or ())
        for name, held in (slots or {}).items():
            admission.register(name, held)
            self.capacity[name] = held
        for name, (per_second, burst) in (rates or {}).items():
            admission.register_rate(name, per_second, burst)
            self.capacity[name] = per_second

    def cost(self, stream: Stream) -> dict[str, float]:
        """Return the part of each resource, in seconds of all of it, that one task uses."""
        return {
            name: amount / self.capacity[name] * (1.0 if name in self.rates else stream.seconds)
            for name, amount in stream.amounts().items()
        }

    def run(self, streams: Sequence[Stream], *, seconds: float, warm_up: float, seed: int) -> Outcome:
        """Let the streams compete; once only for each machine.

        Args:
            streams: The pipelines.
            seconds: When to stop, virtual.
            warm_up: From when on to count.
            seed: For the durations.
        """
        scheduler, rng = self.scheduler, random.Random(seed)
        needs = {}
        for stream in streams:
            scheduler.shares.pipeline(stream.name).configure(weight=stream.weight)
            needs[stream.name] = scheduler.needs(stream.needs, task=stream.name)
        by_name = {stream.name: stream for stream in streams}
        amounts = {stream.name: stream.amounts() for stream in streams}
        used = {stream.name: dict.fromkeys(self.capacity, 0.0) for stream in streams}
        latest = dict.fromkeys(by_name, warm_up)
        gaps = dict.fromkeys(by_name, 0.0)
        wake = getattr(scheduler, "next_wake", None)
        ends: list[tuple[float, int, Task]] = []
        order = count()
        starts = 0
        now = 0.0

        def submit(stream: Stream) -> None:
            pipeline = scheduler.shares.pipeline(stream.name)
            scheduler.submit(Task(pipeline, stream.name, needs=needs[stream.name]), now, ())

        for stream in streams:
            for _ in range(_BACKLOG):
                submit(stream)
        while now < seconds:
            started = scheduler.decide(now, _MOST)
            for task in started:
                stream = by_name[task.name]
                end = now + stream.seconds * rng.uniform(1 - JITTER, 1 + JITTER)
                heapq.heappush(ends, (end, next(order), task))
                submit(stream)
                if now >= warm_up:
                    starts += 1
                    gaps[task.name] = max(gaps[task.name], now - latest[task.name])
                    latest[task.name] = now
                counted = max(0.0, min(end, seconds) - max(now, warm_up))
                for name, amount in amounts[task.name].items():
                    used[task.name][name] += amount * ((now >= warm_up) if name in self.rates else counted)
            if len(started) >= _MOST:
                continue
            # A rate may let the next task go before anything ends; the wake-up must not
            # come at this same moment again, or time would stand still.
            due_at = wake() if wake is not None else None
            if due_at is not None and due_at <= now:
                due_at = now + 1e-3
            if ends and (due_at is None or ends[0][0] <= due_at):
                now, _, task = heapq.heappop(ends)
                scheduler.finish(task, now, State.DONE)
            elif due_at is not None:
                now = due_at
            else:
                raise SystemExit(f"nothing runs and nothing can start at {now}: {sorted(by_name)}")
        scheduler.check([task for _, _, task in ends])
        window = seconds - warm_up
        return Outcome(
            shares={
                name: max(use[key] / self.capacity[key] for key in self.capacity) / window / by_name[name].weight
                for name, use in used.items()
            },
            used={key: sum(use[key] for use in used.values()) / self.capacity[key] / window for key in self.capacity},
            gaps={name: max(gap, seconds - latest[name]) for name, gap in gaps.items()},
            starts=starts,
        )


def due(machine: Machine, streams: Sequence[Stream]) -> dict[str, float]:
    """Return the dominant share, divided by its weight, that is each stream's due.

    Progressive filling: the weighted dominant shares of all streams rise together; when a
    resource is used up, the streams that need any of it stay where they are (A. Ghodsi et
    al., "Dominant Resource Fairness", NSDI 2011, extended to weights and saturation as in
    D. Parkes et al., "Beyond Dominant Resource Fairness", EC 2012). Tasks are taken as
    endlessly small, so no scheduler of real tasks reaches it wholly.
    """
    profiles = {}
    for stream in streams:
        cost = machine.cost(stream)
        dominant = max(cost.values())
        profiles[stream.name] = {key: stream.weight * part / dominant for key, part in cost.items()}
    left = dict.fromkeys(machine.capacity, 1.0)
    level = 0.0
    reached: dict[str, float] = {}
    rising = set(profiles)
    while rising:
        slope = {key: sum(profiles[name].get(key, 0.0) for name in rising) for key in left}
        step = min(left[key] / slope[key] for key in left if slope[key] > 0)
        level += step
        for key in left:
            left[key] -= step * slope[key]
        full = {key for key in left if slope[key] > 0 and left[key] < 1e-9}
        stopped = {name for name in rising if any(profiles[name].get(key, 0.0) for key in full)}
        reached.update(dict.fromkeys(stopped, level))
        rising -= stopped
    return reached


def has_rates() -> bool:
    """Return whether the core knows resources that come back with time."""
    return hasattr(Admission, "register_rate")


def fraction(machine: Machine, part: float, key: str) -> float | int:
    """Return a part of one of the machine's resources, in whole units of the core, at least one."""
    if key == "cpu":
        return max(1, round(part * machine.capacity[key] * CPU_UNIT)) / CPU_UNIT
    return max(1, round(part * machine.capacity[key]))
