"""What five times too much batch work does to interactive tasks, and to the batch work itself.

Interactive tasks (``Priority.HIGH``, 30 to 50 ms, a tenth of what the slots can do) run alone and
beside batch tasks that come five times as fast as the slots can serve them: ``p99_ratio`` is that of
their time from submission to end. ``goodput`` counts batch tasks with a deadline that ended in time:
at five times the load against the best at the load that fits.

``virtual``: the real engine on virtual time, so that no other program disturbs the figures; the long
runs show what becomes of a queue that nobody ever works off. ``real``: coroutines on the loop, and
functions in worker processes, by the wall clock. What runs is not stopped, so with few slots an urgent
task waits for the first batch task that ends: ``virtual_as_many_slots`` is the least that is possible
with the slots of ``real_processes``, on a machine on which nothing but the tasks takes time.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import random
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from _common import cores, report, spread

from tenire import ConcurrencyManager, Priority, RejectedError, Resources
from tenire.clock import SYSTEM_CLOCK
from tenire.testing import SimLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tenire.clock import Clock

INTERACTIVE_S = (0.03, 0.05)
BATCH_S = (0.032, 0.048)
LIGHT = 0.1
"""Part of the slots that interactive tasks keep busy."""
HEAVY = 5.0
LOADS = (0.9, 1.0, 1.1)
"""Loads that fit, more or less: the best of them is the peak."""
DEADLINE_S = 2.0


@dataclass(frozen=True)
class Setting:
    """One way to run the tasks.

    Attributes:
        slots: How many tasks can run at once.
        work: What a task does, given its seconds.
        on: Where it runs.
        batch: Priority of the batch tasks.
        together: Whether both kinds are in one pipeline; otherwise they have one each.
        seconds: How long tasks come in.
        warm_up: From when on they are counted.
    """

    slots: int
    work: Callable[[float], Any]
    on: str
    batch: Priority = Priority.NORMAL
    together: bool = True
    seconds: float = 10.0
    warm_up: float = 1.0


async def wait(seconds: float) -> None:
    """Work as a call to a server does: wait for it."""
    await asyncio.sleep(seconds)


def compute(seconds: float) -> None:
    """Compute for so many seconds of CPU time; runs in a worker process."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(200))


def arrivals(rate: float, seconds: float, rng: random.Random) -> Iterator[float]:
    """Draw the times at which tasks come in, independent of each other."""
    at = rng.expovariate(rate)
    while at < seconds:
        yield at
        at += rng.expovariate(rate)


async def come_in(times: Iterator[float], submit: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    for at in times:
        # However late the loop is: those that are due come in, or the load would give way.
        if (left := start + at - loop.time()) > 0:
            await asyncio.sleep(left)
        submit()


async def one_run(
    setting: Setting, clock: Clock, seed: int, *, light: float, heavy: float
) -> tuple[list[float], float]:
    """Return the times that interactive tasks took, and the batch tasks a second that ended in time."""
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    in_time = 0
    slot = Resources(cpu=1)
    # Not adaptive: whatever else runs on this machine would change the number of slots.
    manager = ConcurrencyManager(cpu=setting.slots, memory=1 << 30, seed=seed, clock=clock, adaptive=False)
    async with manager:
        if setting.on == "process":  # the workers have started before anything is counted
            for handle in [manager.submit(setting.work, 0.2, on="process", needs=slot) for _ in range(setting.slots)]:
                await handle
        begin = loop.time()
        drawn, sizes = (
            random.Random(1000 + seed),
            random.Random(2000 + seed),
        )  # equal with and without batch

        def interactive() -> None:
            submitted = loop.time()
            handle = manager.submit(
                setting.work, drawn.uniform(*INTERACTIVE_S), on=setting.on, name="interactive", needs=slot,
                priority=Priority.HIGH, pipeline="default" if setting.together else "interactive",
            )  # fmt: skip

            def ended(_: object) -> None:
                if submitted >= begin + setting.warm_up:
                    taken.append(loop.time() - submitted)

            handle.add_done_callback(ended)

        def batch() -> None:
            submitted = loop.time()
            try:
                handle = manager.submit(
                    setting.work, sizes.uniform(*BATCH_S), on=setting.on, name="batch", needs=slot,
                    priority=setting.batch, deadline=DEADLINE_S if light == 0 else None,
                )  # fmt: skip
            except RejectedError:  # refused at the door, which is one way to stay in time
                return

            def ended(done: Any) -> None:
                nonlocal in_time
                now = loop.time() - begin
                if (
                    done.error is None
                    and setting.warm_up <= now < setting.seconds
                    and loop.time() <= submitted + DEADLINE_S
                ):
                    in_time += 1

            handle.add_done_callback(ended)

        async with asyncio.TaskGroup() as group:
            for number, (part, each, submit) in enumerate(
                ((light, INTERACTIVE_S, interactive), (heavy, BATCH_S, batch))
            ):
                if part:
                    times = arrivals(
                        part * setting.slots / statistics.fmean(each), setting.seconds, random.Random(2 * seed + number)
                    )
                    group.create_task(come_in(times, submit))
        await manager.shutdown(cancel=True)
    return taken, in_time / (setting.seconds - setting.warm_up)


def p99(taken: list[float]) -> float:
    return sorted(taken)[min(len(taken) - 1, math.ceil(len(taken) * 0.99) - 1)] * 1000


def virtual(setting: Setting, seed: int, *, light: float, heavy: float) -> tuple[list[float], float]:
    with SimLoop(seed, max_steps=3_000_000) as loop:
        return loop.run_until_complete(one_run(setting, loop.clock, seed, light=light, heavy=heavy))


def real(setting: Setting, seed: int, *, light: float, heavy: float) -> tuple[list[float], float]:
    return asyncio.run(one_run(setting, SYSTEM_CLOCK, seed, light=light, heavy=heavy))


def latency(name: str, setting: Setting, seeds: range, run: Callable[..., tuple[list[float], float]]) -> None:
    """Report the interactive tasks alone and beside batch tasks; tasks of all seeds are put together."""
    alone: list[float] = []
    beside: list[float] = []
    for seed in seeds:
        alone += run(setting, seed, light=LIGHT, heavy=0.0)[0]
        beside += run(setting, seed, light=LIGHT, heavy=HEAVY)[0]
    report(
        f"overload_latency_{name}",
        slots=setting.slots,
        tasks=len(beside),
        alone_ms={"p50": round(statistics.median(alone) * 1000, 1), "p99": round(p99(alone), 1)},
        overloaded_ms={"p50": round(statistics.median(beside) * 1000, 1), "p99": round(p99(beside), 1)},
        p99_ratio=round(p99(beside) / p99(alone), 2),
    )


def goodput(name: str, setting: Setting, seeds: range, run: Callable[..., tuple[list[float], float]]) -> None:
    """Report the batch tasks that ended in time, with five times the load and at the best that fits."""
    rows = []
    for seed in seeds:
        fits = {load: run(setting, seed, light=0.0, heavy=load)[1] for load in LOADS}
        rows.append((max(fits.values()), run(setting, seed, light=0.0, heavy=HEAVY)[1]))
    report(
        f"overload_goodput_{name}",
        slots=setting.slots,
        possible_per_s=round(setting.slots / statistics.fmean(BATCH_S), 1),
        peak_per_s=spread([peak for peak, _ in rows], 1),
        overloaded_per_s=spread([good for _, good in rows], 1),
        ratio=spread([good / peak for peak, good in rows]),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--virtual-only", action="store_true")
    options = parser.parse_args()
    seeds = range(options.seeds)
    # Thousands are meant to miss their deadline; that nobody looks at them is no news.
    logging.getLogger("tenire").setLevel(logging.CRITICAL)
    latency("virtual", Setting(16, wait, "loop"), seeds, virtual)
    latency("virtual_few_slots", Setting(4, wait, "loop"), seeds, virtual)
    latency("virtual_pipelines", Setting(16, wait, "loop", batch=Priority.LOW, together=False), seeds, virtual)
    # Longer than it takes a waiting task to rise from normal to high.
    latency("virtual_long", Setting(4, wait, "loop", seconds=75.0), seeds[:1], virtual)
    latency("virtual_as_many_slots", Setting(cores(), wait, "loop", seconds=27.0), range(8 * options.seeds), virtual)
    if not options.virtual_only:
        latency("real_loop", Setting(16, wait, "loop", seconds=4.0), seeds[:1], real)
        # Long enough for a hundred tasks: with thirty the p99 is just the slowest of them.
        latency("real_processes", Setting(cores(), compute, "process", seconds=27.0), seeds[:1], real)
        goodput("real_processes", Setting(cores(), compute, "process", seconds=5.0), seeds[:1], real)
    goodput("virtual", Setting(4, wait, "loop"), seeds, virtual)


if __name__ == "__main__":
    main()
