"""Servers in virtual time, and clients that always have more to ask than they may."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.core.concurrency_limit import AdaptiveLimit

NEVER = 10**9


def lognormal(sigma: float, mean: float = 1.0) -> Callable[[random.Random, float], float]:
    return lambda rng, _now: mean * math.exp(rng.gauss(0.0, sigma) - sigma * sigma / 2)


@dataclass
class Run:
    """What happened: ends as (time, response time, ok), and limits as (time, client, limit)."""

    ends: list[tuple[float, float, bool]] = field(default_factory=list)
    limits: list[tuple[float, int, int]] = field(default_factory=list)

    def throughput(self, since: float, until: float) -> float:
        return sum(ok for now, _, ok in self.ends if since <= now < until) / (until - since)

    def refused(self, since: float = 0.0) -> float:
        late = [ok for now, _, ok in self.ends if now >= since]
        return late.count(False) / len(late)

    def limit(self, since: float, until: float = math.inf, client: int = 0) -> float:
        """Return the mean limit of a client, weighted by time."""
        points = [(now, limit) for now, who, limit in self.limits if who == client and since <= now < until]
        spans = [(after[0] - point[0], point[1]) for point, after in itertools.pairwise(points)]
        return sum(span * limit for span, limit in spans) / sum(span for span, _ in spans)


def serve(
    clients: Sequence[AdaptiveLimit],
    *,
    until: float,
    slots: Callable[[float], int],
    service: Callable[[random.Random, float], float],
    queue: int = NEVER,
    down: Callable[[float], bool] = lambda _now: False,
    demand: Callable[[float], int] = lambda _now: NEVER,
    timeout: float = math.inf,
    seed: int = 1,
) -> Run:
    """Run clients against one server: so many slots, a queue in order, what does not fit is refused at once.

    A call that timed out is given up by its client; the server works on it all the same.
    """
    rng, run, now, busy = random.Random(seed), Run(), 0.0, 0
    inflight = [0] * len(clients)
    waiting: deque[tuple[int, float, Any]] = deque()
    events: list[tuple[float, int, int, float, Any, bool | None]] = []
    order = 0

    def at(moment: float, client: int, start: float, token: Any, ok: bool | None) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (moment, order, client, start, token, ok))

    def fill(client: int) -> None:
        nonlocal busy
        while inflight[client] < min(clients[client].limit, demand(now)):
            inflight[client] += 1
            token = clients[client].on_start(now, inflight[client])
            if timeout < math.inf:
                at(now + timeout, client, now, token, ok=False)
            if down(now) or (busy >= slots(now) and len(waiting) >= queue):
                at(now + 0.05, client, now, token, ok=False)
            elif busy < slots(now):
                busy += 1
                at(now + service(rng, now), client, now, token, ok=True)
            else:
                waiting.append((client, now, token))

    for client in range(len(clients)):
        at(0.0, client, 0.0, None, ok=None)
    while events and events[0][0] < until:
        now, _, client, start, token, ok = heapq.heappop(events)
        if ok is None:  # from time to time, for demand may have risen
            at(now + 0.5, client, now, None, ok=None)
        else:
            if ok:
                busy -= 1
                while waiting and busy < slots(now):
                    other, began, queued = waiting.popleft()
                    busy += 1
                    at(now + service(rng, now), other, began, queued, ok=True)
            if token.live:  # it had not timed out
                inflight[client] -= 1
                clients[client].on_end(token, now, ok=ok)
                run.ends.append((now, now - start, ok))
                run.limits.append((now, client, clients[client].limit))
        fill(client)
        clients[client].check()
    return run
