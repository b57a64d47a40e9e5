"""Clients of a server that counts, in virtual time: the real scheduler and the real meter.

Waiting calls are permits in the scheduler's queues. What is granted is sent at once and
arrives after a latency that varies by ``jitter``; there the server counts it, in one of
the three ways that servers count, and refuses what is too much.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tenire.core.admission import Admission
from tenire.core.rate_window import SlidingWindow
from tenire.core.scheduler import Scheduler
from tenire.core.tasks import State, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["SERVERS", "Bucket", "Client", "Fixed", "QuotaWorld", "Sliding"]


class Sliding:
    """Counts what arrived within the last window."""

    def __init__(self, limit: int, window: float) -> None:
        self.limit, self.window = limit, window
        self._arrived: deque[tuple[float, int]] = deque()
        self._sum = 0

    def admits(self, at: float, cost: int) -> bool:
        while self._arrived and self._arrived[0][0] <= at - self.window:
            self._sum -= self._arrived.popleft()[1]
        if self._sum + cost > self.limit:
            return False
        self._arrived.append((at, cost))
        self._sum += cost
        return True


class Fixed:
    """Counts in windows by its own clock."""

    def __init__(self, limit: int, window: float, phase: float = 0.0) -> None:
        self.limit, self.window, self.phase = limit, window, phase
        self._number, self._sum = -1, 0

    def admits(self, at: float, cost: int) -> bool:
        number = int((at + self.phase) // self.window)
        if number != self._number:
            self._number, self._sum = number, 0
        if self._sum + cost > self.limit:
            return False
        self._sum += cost
        return True


class Bucket:
    """Fills all the time, up to the limit."""

    def __init__(self, limit: int, window: float) -> None:
        self.limit, self.window = limit, window
        self._level, self._at = float(limit), 0.0

    def admits(self, at: float, cost: int) -> bool:
        self._level = min(self.limit, self._level + (at - self._at) * self.limit / self.window)
        self._at = at
        if cost > self._level + 1e-6:
            return False
        self._level -= cost
        return True


SERVERS: dict[str, Callable[[int, float], Sliding | Fixed | Bucket]] = {
    "sliding": Sliding,
    "fixed": Fixed,
    "bucket": Bucket,
}


@dataclass
class Client:
    """One pipeline that always has so many calls waiting."""

    name: str
    sizes: Sequence[int]
    waiting: int = 16
    priority: int = 2
    weight: float = 1.0


@dataclass
class Outcome:
    accepted: int = 0
    refused: int = 0
    by_client: dict[str, int] = field(default_factory=dict)
    passed: int = 0
    """By how many that came later a call was overtaken, at the most, within its client."""
    probes: list[int] = field(default_factory=list)
    """How many permits were granted between the asking and the granting of each urgent call."""


class QuotaWorld:
    def __init__(
        self, *, server: str, limit: int, clients: Sequence[Client], jitter: float = 0.5, seed: int = 0,
        window: float = 60.0, latency: float = 0.05,
    ) -> None:  # fmt: skip
        self.rng = random.Random(seed)
        self.jitter, self.latency = jitter, latency
        self.clients = clients
        self.limit, self.window = limit, window
        self.server = SERVERS[server](limit, window)
        self.meter = SlidingWindow(limit, window, jitter)
        admission = Admission(cpu=1, memory=1, threads=1, processes=1)
        self.index = admission.register_meter("q/tokens", self.meter, limit)
        self.scheduler = Scheduler(admission)
        self.outcome = Outcome()
        self._queues: dict[str, list[Task]] = {client.name: [] for client in clients}
        self._passed: dict[Task, int] = {}
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0
        self._grants = 0
        self._count_from = 0.0

    def at(self, when: float, what: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, what))

    def ask(self, client: Client, now: float) -> None:
        share = self.scheduler.shares.pipeline(client.name)
        task = Task(share, client.name, client.priority, ((self.index, self.rng.choice(client.sizes)),))
        task.is_permit = True
        self._queues[client.name].append(task)
        self.scheduler.submit(task, now)

    def ask_urgently(self, pipeline: str, size: int, priority: int, now: float) -> None:
        task = Task(self.scheduler.shares.pipeline(pipeline), "urgent", priority, ((self.index, size),))
        task.is_permit = True
        self._passed[task] = self._grants
        self.scheduler.submit(task, now)

    def granted(self, task: Task, now: float) -> None:
        size = task.needs[0][1]
        if task.name == "urgent":
            self.outcome.probes.append(self._grants - self._passed.pop(task))
        else:
            queue = self._queues[task.name]
            place = queue.index(task)
            for other in queue[:place]:
                self._passed[other] = self._passed.get(other, 0) + 1
                self.outcome.passed = max(self.outcome.passed, self._passed[other])
            del queue[place]
            self._passed.pop(task, None)
        self._grants += 1
        arrival = now + self.latency + self.rng.random() * self.jitter
        self.at(arrival, lambda when: self.arrive(task, size, when))

    def arrive(self, task: Task, size: int, now: float) -> None:
        outcome = self.outcome
        if not self.server.admits(now, size):
            outcome.refused += 1
        elif now >= self._count_from:
            outcome.accepted += size
            outcome.by_client[task.name] = outcome.by_client.get(task.name, 0) + size
        self.scheduler.finish(task, now, State.DONE)

    def run(self, seconds: float, *, count_from: float = 0.0) -> Outcome:
        self._count_from = count_from
        for client in self.clients:
            self.scheduler.shares.configure(client.name, weight=client.weight)
            for _ in range(client.waiting):
                self.ask(client, 0.0)
        now = 0.0
        scheduler = self.scheduler
        by_name = {client.name: client for client in self.clients}
        steps = 0
        while True:
            for task in scheduler.decide(now, 256):
                self.granted(task, now)
                if task.name in by_name:
                    self.ask(by_name[task.name], now)
            self.meter.check()
            assert self.meter.spent(now) <= self.limit
            wake = scheduler.next_wake()
            due = self._events[0][0] if self._events else float("inf")
            if wake is not None and wake < due:
                assert wake > now or steps < 3, "it wakes at once and finds nothing"
                steps = steps + 1 if wake == now else 0
                now = wake
            else:
                now = due
            if now >= seconds:
                return self.outcome
            while self._events and self._events[0][0] <= now:
                heapq.heappop(self._events)[2](now)

    def share(self, seconds: float) -> float:
        """Part of the limit that was used within so many seconds."""
        return self.outcome.accepted / (self.limit * seconds / self.window)
