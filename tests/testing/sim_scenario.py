"""A scenario with most of what can be out of order; also run as a script in another process."""

from __future__ import annotations

import asyncio
import sys

from tenire.testing import FakeExecutor, SimLoop


async def scenario(loop: SimLoop) -> list[str]:
    log: list[str] = []
    pool = FakeExecutor(loop, min_s=0.5, max_s=2.0, workers=2, lose=0.2, fail=0.1, name="pool")
    queue: asyncio.Queue[int] = asyncio.Queue(2)
    lock = asyncio.Semaphore(2)

    async def producer() -> None:
        for item in range(6):
            await asyncio.sleep(1)
            await queue.put(item)

    async def consumer(name: str) -> None:
        while True:
            item = await queue.get()
            async with lock:
                try:
                    done = await loop.run_in_executor(pool, str, item)
                    log.append(f"{name}{done}")
                except RuntimeError:
                    log.append(f"{name}!")
            queue.task_done()

    async def ticks() -> None:
        while True:
            await asyncio.sleep(0.5)
            log.append("tick")

    async def fails() -> None:
        await asyncio.sleep(4)
        raise ValueError

    try:
        # Its abort walks a set of tasks: without hashes by ordinal, in the order of addresses.
        async with asyncio.TaskGroup() as group:
            for name in ("a", "b", "c"):
                group.create_task(consumer(name))
            for _ in range(3):
                group.create_task(ticks())
            group.create_task(producer())
            group.create_task(fails())
    except* ValueError:
        log.append("aborted")
    racers = {asyncio.create_task(asyncio.sleep(1, n)) for n in range(5)}
    log += [str(task.result()) for task in (await asyncio.wait(racers))[0]]
    return log


def trace_of(seed: int) -> tuple[list[str], str]:
    with SimLoop(seed) as loop:
        return loop.run_until_complete(scenario(loop)), loop.trace_hash()


if __name__ == "__main__":
    sys.stdout.write(trace_of(int(sys.argv[1]))[1])
