"""A no-op task through ``submit`` against ``TaskGroup`` + ``Semaphore(64)``, interleaved in one process."""

from __future__ import annotations

import asyncio
import time

from _common import report, spread

from tenire import ConcurrencyManager, Priority, Resources

TASKS = 20_000
ROUNDS = 9


async def nothing(number: int) -> int:
    return number


async def bare() -> float:
    limit = asyncio.Semaphore(64)

    async def one(number: int) -> int:
        async with limit:
            return await nothing(number)

    started = time.process_time()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(TASKS)]
    results = [task.result() for task in tasks]
    seconds = time.process_time() - started
    assert results == list(range(TASKS))
    return seconds / TASKS * 1e6


async def submitted() -> float:
    async with ConcurrencyManager(cpu=4, memory=1 << 30) as manager:
        started = time.process_time()
        handles = [manager.submit(nothing, number) for number in range(TASKS)]
        results = [await handle for handle in handles]
        seconds = time.process_time() - started
    assert results == list(range(TASKS))
    return seconds / TASKS * 1e6


async def rich() -> float:
    levels = list(Priority)
    async with ConcurrencyManager(cpu=4, memory=1 << 30) as manager:
        needs = Resources(memory=1 << 20)
        started = time.process_time()
        handles: list[object] = []
        for number in range(TASKS):
            after = (handles[number - 100],) if number >= 100 else ()
            handles.append(
                manager.submit(
                    nothing, number, priority=levels[number % 5], needs=needs, pipeline="ab"[number & 1], after=after
                )
            )
        for handle in handles:
            await handle
        return (time.process_time() - started) / TASKS * 1e6


def main() -> None:
    """Measure and print."""
    rounds = [(asyncio.run(bare()), asyncio.run(submitted()), asyncio.run(rich())) for _ in range(ROUNDS)]
    report(
        "task",
        tasks=TASKS,
        taskgroup_us=spread([first for first, _, _ in rounds], 2),
        tenire_us=spread([second for _, second, _ in rounds], 2),
        ratio=spread([second / first for first, second, _ in rounds]),
        ratio_with_priority_dependency_resources=spread([third / first for first, _, third in rounds]),
    )


if __name__ == "__main__":
    main()
