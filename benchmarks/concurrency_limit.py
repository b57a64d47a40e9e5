"""AdaptiveLimit against simulated servers: those of the first comparison, and random ones it was not tuned for."""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
import time
from typing import TYPE_CHECKING, Any

from _common import report, spread
from _servers import Fixed, Verdict, judge, named, unseen

from tenire.core.concurrency_limit import AdaptiveLimit

if TYPE_CHECKING:
    from collections.abc import Callable

UNSEEN = 1000
"""From this seed on; tuned with those below 200."""
CALLS = 20_000


def cost(make: Callable[[], Any], slots: int) -> float:
    """Return the CPU seconds of a closed loop of calls."""
    rng = random.Random(1)
    took = [rng.lognormvariate(0.0, 0.4) for _ in range(997)]
    limit, running, now, inflight, started = make(), [], 0.0, 0, 0
    begun = time.process_time()
    for _ in range(CALLS):
        while inflight < limit.limit:
            inflight += 1
            started += 1
            token = limit.on_start(now, inflight)
            heapq.heappush(running, (now + took[started % 997] * max(1.0, inflight / slots), started, token))
        now, _, token = heapq.heappop(running)
        inflight -= 1
        limit.on_end(token, now, True)
    return time.process_time() - begun


def figures(verdicts: list[Verdict]) -> dict[str, Any]:
    used, tails = [verdict.used for verdict in verdicts], [verdict.p99 for verdict in verdicts]
    back = [seconds for verdict in verdicts for seconds in verdict.back]
    return {
        "scenarios": len(verdicts),
        "used": {"mean": round(statistics.mean(used), 3), "worst": round(min(used), 3)},
        "p99_to_oracle": {"median": round(statistics.median(tails), 2), "over_1.3": sum(tail > 1.3 for tail in tails)},
        "refused": round(max(verdict.refused for verdict in verdicts), 3),
        "limit_beyond_20_percent": sum(abs(verdict.final - 1) > 0.2 for verdict in verdicts),
        "back_s": {"median": statistics.median(back), "worst": max(back)} if back else None,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--servers", type=int, default=80, help="random ones")
    servers = range(UNSEEN, UNSEEN + parser.parse_args().servers)
    first = [judge(case, lambda most: AdaptiveLimit(maximum=most)) for case in named()]
    fresh = [judge(unseen(seed), lambda most: AdaptiveLimit(maximum=most)) for seed in servers]
    odd = [
        f"{verdict.name}: used {verdict.used:.2f}, p99 {verdict.p99:.1f}x, final {verdict.final:.2f}"
        for verdict in fresh
        if verdict.used < 0.8 or verdict.p99 > 1.3 or verdict.refused > 0.07 or abs(verdict.final - 1) > 0.2
    ]
    micros = {
        str(slots): spread(
            [(cost(AdaptiveLimit, slots) - cost(lambda: Fixed(lambda _t: slots), slots)) / CALLS * 1e6  # noqa: B023
             for _ in range(5)], 2)
        for slots in (4, 12, 60)
    }  # fmt: skip
    report("concurrency_limit", named=figures(first), unseen=figures(fresh), start_and_end_us=micros, beyond=odd)


if __name__ == "__main__":
    main()
