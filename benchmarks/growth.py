"""What a task costs, submitted, started and ended, with 1,000 to 1,000,000 queued; and what its record weighs.

Everything is submitted before anything starts. ``core``: the pure scheduler. ``engine``: through
``ConcurrencyManager``, with priority, needs and pipeline, each handle awaited. The garbage collector
works as it does for any user. All sizes run in one process, small ones several times, up and down again.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
import tracemalloc
from collections import deque

from _common import report, spread

from tenire import ConcurrencyManager, Priority, Resources
from tenire.core.admission import Admission
from tenire.core.scheduler import Scheduler
from tenire.core.tasks import State, Task

SIZES = (1_000, 10_000, 100_000, 1_000_000)
REPEATED = 30_000
"""Tasks of a size at the least: smaller sizes are repeated."""
PIPELINES = 4
LEVELS = tuple(Priority)
MIB = 1 << 20


async def nothing() -> None:
    pass


def core(queued: int) -> float:
    """Return the seconds of ``queued`` tasks in the pure core."""
    scheduler = Scheduler(Admission(cpu=64, memory=1024 * MIB, threads=1, processes=1))
    pipelines = [scheduler.shares.pipeline(f"p{number}") for number in range(PIPELINES)]
    needs = [scheduler.needs(each, task="") for each in (Resources(cpu=1), Resources(cpu=1, memory=MIB))]
    running: deque[Task] = deque()
    now = 0.0
    began = time.process_time()
    for number in range(queued):
        task = Task(pipelines[number % PIPELINES], "task", LEVELS[number % 5], needs[number // 5 % 2])
        scheduler.submit(task, now, ())
    running.extend(scheduler.decide(now, 256))
    ended = 0
    while running:
        now += 1e-5
        scheduler.finish(running.popleft(), now, State.DONE)
        ended += 1
        running.extend(scheduler.decide(now, 256))
    seconds = time.process_time() - began
    assert ended == queued, (ended, queued)
    return seconds


async def engine(queued: int) -> float:
    """Return the seconds of ``queued`` tasks through the engine."""
    needs = Resources(memory=MIB)
    # Not adaptive: while others load the machine no idle work would start.
    async with ConcurrencyManager(cpu=4, memory=1024 * MIB, adaptive=False) as manager:
        began = time.process_time()
        handles = [
            manager.submit(nothing, needs=needs, priority=LEVELS[number % 5], pipeline=f"p{number % PIPELINES}")
            for number in range(queued)
        ]
        for handle in handles:
            await handle
        return time.process_time() - began


async def record(queued: int) -> tuple[float, float]:
    """Return the bytes of one queued task, without a deadline and with one."""
    needs = Resources(memory=MIB)
    weights = []
    for deadline in (None, 3600.0):
        async with ConcurrencyManager(cpu=4, memory=1024 * MIB) as manager:
            for _ in range(100):  # what is made once
                manager.submit(nothing, needs=needs, priority=Priority.LOW, deadline=deadline)
            handles: list[object] = [None] * queued
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            for number in range(queued):
                handles[number] = manager.submit(nothing, needs=needs, priority=LEVELS[number % 5], deadline=deadline)
            weights.append((tracemalloc.get_traced_memory()[0] - before) / queued)
            tracemalloc.stop()
            assert manager.snapshot().queued >= queued
    return weights[0], weights[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--largest", type=int, default=SIZES[-1])
    options = parser.parse_args()
    sizes = [size for size in SIZES if size <= options.largest]
    plain, dated = asyncio.run(record(20_000))
    report("queued_record", bytes=round(plain), bytes_with_deadline=round(dated))
    for name, run in (("core", core), ("engine", lambda size: asyncio.run(engine(size)))):
        run(sizes[0])
        cost: dict[int, list[float]] = {size: [] for size in sizes}
        # The core does the same in every run; what the collector costs the engine varies.
        for size in sizes if run is core else (*sizes, *reversed(sizes)):
            for _ in range(max(1, REPEATED // size)):
                cost[size].append(run(size) / size * 1e6)
        usual = {size: statistics.median(values) for size, values in cost.items()}
        report(
            f"growth_{name}",
            us_a_task={f"{size:,}": spread(values, 2) for size, values in cost.items()},
            ratio={f"{size:,}": round(usual[size] / usual[sizes[0]], 2) for size in sizes[1:]},
        )


if __name__ == "__main__":
    main()
