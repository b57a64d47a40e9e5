"""Clients of a server that counts, in virtual time: the real scheduler and the real meter.

Waiting calls are permits in the scheduler's queues. What is granted is sent at once and
arrives after a latency that varies by ``jitter``; there the server counts it, in one of
the ways that servers count, and refuses what is too much. Its answer may tell how much is
left, or when to come again, and others may use the same quota.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tenire.core.admission import Admission
from tenire.core.quota_meter import QuotaMeter
from tenire.core.rate_report import MetricReport
from tenire.core.scheduler import Scheduler
from tenire.core.tasks import State, Task
from tenire.testing.fake_model_server.meters import make_meter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.core.tasks import Needs
    from tenire.testing.fake_model_server.meters import Enforcement

__all__ = ["SERVERS", "Client", "QuotaWorld"]


SERVERS: tuple[Enforcement, ...] = ("sliding", "fixed", "bucket")


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
    refusals: list[float] = field(default_factory=list)
    """When calls were refused."""
    probes: list[int] = field(default_factory=list)
    """How many permits were granted between the asking and the granting of each urgent call."""


class QuotaWorld:
    """One server and those who call it.

    Args:
        server: How it counts.
        limit: Its limit.
        clients: Who calls.
        declared: The limit that the clients are told; ``None``: none.
        says: Whether answers tell the limit and what is left.
        rounding: To how much that is rounded.
        says_when: Whether refusals tell when to come again.
        quantum: Seconds by which a ``quantised`` server enforces its limit.
        service: Seconds from the arrival of a call to its answer.
        latency: Seconds that a call takes at the least to arrive.
        jitter: Seconds that it may take beyond that.
        slots: Calls in flight at once.
        seed: Of sizes and latencies.
    """

    def __init__(
        self, *, server: Enforcement, limit: int, clients: Sequence[Client], declared: int | None = -1,
        says: bool = False, rounding: int = 1, says_when: bool = True, quantum: float = 1.0, service: float = 0.0,
        window: float = 60.0, latency: float = 0.05, jitter: float = 0.5,
        slots: int = 1000, seed: int = 0,
    ) -> None:  # fmt: skip
        self.rng = random.Random(seed)
        self.jitter, self.latency, self.service = jitter, latency, service
        self.says, self.says_when, self.rounding = says, says_when, rounding
        self.clients = clients
        self.limit, self.window = limit, window
        self.server = make_meter(server, limit, window, quantum=quantum)
        self.meter = QuotaMeter(limit if declared == -1 else declared, window, jitter)
        admission = Admission(cpu=1, memory=1, threads=1, processes=1)
        self.index = admission.register_meter("q/tokens", self.meter, self.meter.limit)
        self.slots = admission.register("q/slots", slots)
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

    def needs(self, size: int) -> Needs:
        return ((self.index, size), (self.slots, 1))

    def ask(self, client: Client, now: float) -> None:
        share = self.scheduler.shares.pipeline(client.name)
        task = Task(share, client.name, client.priority, self.needs(self.rng.choice(client.sizes)))
        task.is_permit = True
        self._queues[client.name].append(task)
        self.scheduler.submit(task, now)

    def ask_urgently(self, pipeline: str, size: int, priority: int, now: float) -> None:
        task = Task(self.scheduler.shares.pipeline(pipeline), "urgent", priority, self.needs(size))
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
        own = self.meter.spent(now)
        self.at(arrival, lambda when: self.arrive(task, size, now, own, when))

    def arrive(self, task: Task, size: int, sent_at: float, own: int, now: float) -> None:
        outcome = self.outcome
        again = self.server.ready_at(size, now)
        if again <= now:
            self.server.take(size, now)
        if again > now:
            outcome.refused += 1
            outcome.refusals.append(now)
        elif now >= self._count_from:
            outcome.accepted += size
            outcome.by_client[task.name] = outcome.by_client.get(task.name, 0) + size
        left = round(self.server.remaining(now) / self.rounding) * self.rounding
        report = MetricReport(self.limit, max(0, left), self.rounding // 2) if self.says else None
        self.at(now + self.service, lambda when: self.answer(task, size, sent_at, own, again - now, report, when))

    def answer(
        self, task: Task, size: int, sent_at: float, own: int, wait: float, report: MetricReport | None, now: float
    ) -> None:
        meter = self.meter
        if report is not None:
            meter.observe(report, max(own, meter.spent(now)), now)
        if wait > 0:
            meter.freeze(wait if self.says_when else None, now)
            meter.refused(size, sent_at, now, None if report is None else report.remaining)
        else:
            meter.accepted(now)
        self.scheduler.admission.register_meter("q/tokens", meter, meter.limit)
        self.scheduler.finish(task, now, State.DONE)

    def others_take(self, size: int, now: float) -> None:
        """Have somebody else use the quota."""
        if self.server.ready_at(size, now) <= now:
            self.server.take(size, now)

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
            assert self.meter.declared is None or self.meter.spent(now) <= self.meter.declared
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
