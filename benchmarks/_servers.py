"""Simulated servers for the concurrency limit: queueing, sharing, refusing, slow, changing.

A server works on ``slots`` calls at a time (in order of arrival, or all at once at
a share of its speed each), and refuses what does not fit in its queue. Clients always
have more to ask than they may, unless a scenario says otherwise. All in virtual time.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Draw = Callable[[random.Random], float]

__all__ = ["Fixed", "Scenario", "Verdict", "judge", "named", "simulate", "unseen"]

NEVER = 10**9


def lognormal(sigma: float) -> Draw:
    return lambda rng: math.exp(rng.gauss(0.0, sigma) - sigma * sigma / 2)


def two_kinds(share: float, ratio: float) -> Draw:
    short = 1.0 / (1.0 - share + share * ratio)
    return lambda rng: short * (ratio if rng.random() < share else 1.0) * math.exp(rng.gauss(0.0, 0.1))


def pareto(alpha: float) -> Draw:
    return lambda rng: rng.paretovariate(alpha) * (alpha - 1) / alpha


def exponential(rng: random.Random) -> float:
    return rng.expovariate(1.0)


def constant(_rng: random.Random) -> float:
    return 1.0


@dataclass
class Scenario:
    """One server and its clients; times are in units of the mean service time ``unit``."""

    name: str
    until: float
    slots: Callable[[float], int]
    draw: Draw
    unit: float = 1.0
    slowness: Callable[[float], float] = lambda _t: 1.0
    queue: int = NEVER
    refusal: float = 0.05
    sharing: bool = False
    timeout: float = math.inf
    down: Callable[[float], bool] = lambda _t: False
    demand: Callable[[float], int] = lambda _t: NEVER
    joins: tuple[float, ...] = (0.0,)
    judged: Callable[[float], bool] = lambda _t: True
    steps: tuple[float, ...] = ()
    seed: int = 1


class Fixed:
    """A client that knows the capacity."""

    def __init__(self, share: Callable[[float], int]) -> None:
        self._share = share
        self.limit = share(0.0)

    def on_start(self, now: float, _inflight: int) -> None:
        self.limit = self._share(now)

    def on_end(self, _token: None, now: float, ok: bool) -> None:
        self.limit = self._share(now)


Ends = list[tuple[float, float, bool]]
Limits = list[tuple[float, int, int]]


def simulate(case: Scenario, clients: list[Any], seed: int) -> tuple[Ends, Limits]:
    """Run a scenario; return ends as (time, response time, ok) and limits as (time, client, limit)."""
    rng, unit, now, busy, order = random.Random(seed), case.unit, 0.0, 0, 0
    inflight = [0] * len(clients)
    queue: deque[int] = deque()
    alive: dict[int, tuple[int, float, Any]] = {}
    events: list[tuple[float, int, str, int]] = []
    shared: list[tuple[float, int]] = []
    work = worked_at = 0.0
    version = 0
    ends: Ends = []
    limits: Limits = []

    def at(moment: float, kind: str, what: int) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (moment, order, kind, what))

    def service() -> float:
        return unit * case.slowness(now / unit) * case.draw(rng)

    def slots() -> int:
        return case.slots(now / unit)

    def progress() -> None:
        nonlocal work, worked_at
        if shared:
            work += (now - worked_at) * min(1.0, slots() / len(shared))
        worked_at = now

    def reckon() -> None:
        nonlocal version
        version += 1
        if shared:
            at(now + max(0.0, shared[0][0] - work) / min(1.0, slots() / len(shared)), "shared", version)

    def begin(client: int) -> None:
        nonlocal busy, order
        inflight[client] += 1
        order += 1
        call = order
        alive[call] = (client, now, clients[client].on_start(now, inflight[client]))
        if case.timeout < math.inf:
            at(now + case.timeout * unit, "failed", call)
        working = len(shared) if case.sharing else busy
        room = working < slots() + (case.queue if case.sharing else 0)
        if case.down(now / unit) or not (room or (not case.sharing and len(queue) < case.queue)):
            at(now + case.refusal * unit, "failed", call)
        elif case.sharing:
            progress()
            heapq.heappush(shared, (work + service(), call))
            reckon()
        elif room:
            busy += 1
            at(now + service(), "served", call)
        else:
            queue.append(call)

    def fill(client: int) -> None:
        if now >= case.joins[client] * unit:
            while inflight[client] < min(clients[client].limit, case.demand(now / unit)):
                begin(client)

    def end(call: int, *, ok: bool) -> None:
        if call not in alive:
            return  # it had timed out
        client, start, token = alive.pop(call)
        inflight[client] -= 1
        clients[client].on_end(token, now, ok)
        ends.append((now, now - start, ok))
        limits.append((now, client, clients[client].limit))
        touched.append(client)

    for client, join in enumerate(case.joins):
        at(join * unit, "look", client)
    while events and events[0][0] <= case.until * unit:
        now, _, kind, what = heapq.heappop(events)
        touched: list[int] = []
        if kind == "look":
            touched.append(what)
            at(now + 0.25 * unit, "look", what)
        elif kind == "failed":
            end(what, ok=False)
        elif kind == "served":
            busy -= 1
            end(what, ok=True)
            while queue and busy < slots():
                call = queue.popleft()
                if call in alive:
                    busy += 1
                    at(now + service(), "served", call)
        elif what == version:
            progress()
            _, call = heapq.heappop(shared)
            reckon()
            end(call, ok=True)
        for client in touched:
            fill(client)
    return ends, limits


@dataclass
class Verdict:
    """How a run went: shares of the capacity, and ratios to a client that knows it."""

    name: str
    used: float
    p99: float
    refused: float
    final: float
    back: list[float]


def _mean_limit(limits: Limits, since: float, until: float, clients: int) -> float:
    total = 0.0
    for client in range(clients):
        points = [(now, limit) for now, who, limit in limits if who == client and since <= now < until]
        spans = [(after[0] - point[0], point[1]) for point, after in itertools.pairwise(points)]
        weight = sum(span for span, _ in spans)
        total += sum(span * limit for span, limit in spans) / weight if weight else 0.0
    return total


def _back(limits: Limits, case: Scenario) -> list[float]:
    """Return the seconds (units) after each step until the mean limit of 5 s is within 20 %, or within one call."""
    found = []
    times = [now for now, _, _ in limits]
    for step in case.steps:
        right, moment = case.slots(step + 0.01), step + 5.0
        while moment < step + 300:
            first = bisect.bisect_left(times, (moment - 5.0) * case.unit)
            last = bisect.bisect_right(times, moment * case.unit)
            mean = _mean_limit(limits[first:last], 0.0, math.inf, len(case.joins))
            if abs(mean - right) <= max(1.0, 0.2 * right):
                break
            moment += 1.0
        found.append(moment - step)
    return found


def judge(case: Scenario, make: Callable[[int], Any]) -> Verdict:
    """Run a scenario with limits that search and with limits that know."""
    count, unit, warm = len(case.joins), case.unit, 60.0
    most = max(case.slots(case.until * part / 8) for part in range(9))
    ends, limits = simulate(case, [make(max(200, 3 * most)) for _ in range(count)], case.seed)
    knows = [Fixed(lambda t: max(1, case.slots(t / unit) // count)) for _ in range(count)]
    known, _ = simulate(case, knows, case.seed + 1000)

    def fair(now: float) -> bool:
        return now >= warm * unit and case.judged(now / unit)

    grid = [warm + (case.until - warm) * (place + 0.5) / 2000 for place in range(2000)]
    ideal = sum(case.slots(t) / case.slowness(t) for t in grid if case.judged(t)) * (case.until - warm) / 2000

    def p99(what: Ends) -> float:
        took = sorted(took for now, took, ok in what if ok and fair(now))
        return took[int(len(took) * 0.99)]

    judged = [ok for now, _, ok in ends if fair(now)]
    final = _mean_limit(limits, case.until * unit * 0.8, math.inf, count) / case.slots(case.until * 0.9)
    return Verdict(
        case.name, sum(judged) / ideal, p99(ends) / p99(known), judged.count(False) / len(judged), final,
        _back(limits, case),
    )  # fmt: skip


def named() -> list[Scenario]:
    """Return the scenarios with which limits of others were compared first."""

    def steps(t: float) -> int:
        return 4 if 400 <= t < 800 else 12

    return [
        Scenario("queue 12", 1200, lambda _t: 12, lognormal(0.5)),
        Scenario("step 12-4-12", 1200, steps, lognormal(0.5), steps=(400, 800)),
        Scenario("heavy tail 12", 1200, lambda _t: 12, lognormal(1.0)),
        Scenario("queue 60", 600, lambda _t: 60, lognormal(0.5)),
        Scenario("refuse 12", 1200, lambda _t: 12, lognormal(0.5), queue=0),
        Scenario("refuse 60", 600, lambda _t: 60, lognormal(0.5), queue=0),
    ]


DRAWS: dict[str, Draw] = {
    "lognormal .3": lognormal(0.3), "lognormal .6": lognormal(0.6), "lognormal 1": lognormal(1.0),
    "exponential": exponential, "constant": constant, "one in ten 10x": two_kinds(0.1, 10),
    "three in ten 8x": two_kinds(0.3, 8), "pareto 2.2": pareto(2.2),
}  # fmt: skip
KINDS = (
    "plain", "plain", "step", "step", "drift", "slower", "idle", "clients", "outage", "refuse", "refuse",
    "refuse late", "timeout", "sharing", "refuse step",
)  # fmt: skip


def unseen(seed: int) -> Scenario:
    """Return a random scenario: capacity 2 to 300, calls of 10 ms to 10 s."""
    rng = random.Random(seed)
    slots = max(2, round(math.exp(rng.uniform(math.log(2), math.log(300)))))
    kind, (named_draw, draw) = rng.choice(KINDS), rng.choice(list(DRAWS.items()))
    unit = rng.choice([0.01, 0.1, 1.0, 1.0, 10.0])
    until = max(300.0, min(1200.0, 24000.0 / slots))
    case = Scenario(f"{seed} {kind} {slots} {named_draw}", until, lambda _t: slots, draw, unit, seed=seed)
    if kind in ("step", "refuse step"):
        other = slots * 3 if rng.random() < 0.5 else max(2, slots // 3)
        case.until = until = max(until, 600.0)
        case.slots = lambda t: other if until / 3 <= t < until * 2 / 3 else slots
        case.steps = (until / 3, until * 2 / 3)
    if kind == "drift":
        height, period = rng.uniform(0.3, 0.6), rng.uniform(150, 600)
        case.slowness = lambda t: 1 + height * math.sin(2 * math.pi * t / period)
    elif kind == "slower":
        factor = rng.choice([0.4, 2.0, 3.0])
        case.slowness = lambda t: factor if 0.4 * until < t < 0.7 * until else 1.0
    elif kind == "idle":
        few = max(1, int(slots * rng.uniform(0.1, 0.7)))
        case.demand = lambda t: few if 0.35 * until < t < 0.65 * until else NEVER
        case.judged = lambda t: not 0.35 * until < t < 0.65 * until + 15
    elif kind == "clients":
        count = rng.choice([2, 2, 3, 4])
        slots = max(slots, 4 * count)
        case.joins = tuple(until * 0.15 * client for client in range(count)) if rng.random() < 0.5 else (0.0,) * count
        case.queue = 0 if rng.random() < 0.3 else NEVER
    elif kind == "outage":
        case.down = lambda t: 0.4 * until < t < 0.4 * until + 30
        case.judged = lambda t: not 0.4 * until < t < 0.4 * until + 45
    elif kind in ("refuse", "refuse step"):
        case.queue = rng.choice([0, 0, 0, max(1, slots // 10), max(1, slots // 2)])
    elif kind == "refuse late":
        case.queue, case.refusal = 0, rng.uniform(0.3, 3)
    elif kind == "timeout":
        case.timeout = rng.uniform(4, 8)
    case.sharing = kind == "sharing"
    return case
