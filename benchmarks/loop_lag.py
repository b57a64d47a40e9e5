"""How late the loop is while as many worker processes as there are cores compute flat out."""

from __future__ import annotations

import asyncio
import statistics
import time

from _common import cores, report

from tenire import ConcurrencyManager

PERIOD_S = 1 / 60
SECONDS = 15.0


def spin(seconds: float) -> int:
    """Compute for a while; runs in a worker process."""
    end = time.perf_counter() + seconds
    turns = 0
    while time.perf_counter() < end:
        turns += sum(range(200))
    return turns


async def lags(seconds: float) -> list[float]:
    loop = asyncio.get_running_loop()
    late = []
    end = due = loop.time()
    end += seconds
    while due < end:
        due += PERIOD_S
        await asyncio.sleep(due - loop.time())
        late.append((loop.time() - due) * 1000)
    return late


def quantiles(late: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(late, n=100)
    return {"p50": round(cuts[49], 2), "p99": round(cuts[98], 2), "max": round(max(late), 2)}


async def measure() -> None:
    workers = cores()
    async with ConcurrencyManager(cpu=workers) as manager:
        await manager.thread_pool.warm_up(workers)
        quiet = await lags(5.0)
        busy = [manager.submit(spin, SECONDS + 3, on="process") for _ in range(workers)]
        await asyncio.sleep(1.5)  # all of them have started
        late = await lags(SECONDS)
        for handle in busy:
            await handle
    report("loop_lag_ms", workers=workers, idle=quantiles(quiet), busy=quantiles(late))


if __name__ == "__main__":
    asyncio.run(measure())
