"""A function in a worker process and back, through ``submit`` against ``ProcessPoolExecutor``.

Three loads, each for the engine, for a pool of as many plain workers, and for one
whose workers run at lowest priority as the engine's do. Interleaved in one process,
so a busy moment of the machine hits all three; ``ratio`` compares medians.

- small: a number there and back, one by one;
- flight: the same, 64 in flight;
- array: 10 MB of numpy there and back, one by one.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from _common import report, spread

from tenire import ConcurrencyManager
from tenire.concurrency.pools.background import step_back

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import numpy as np
    from numpy.typing import NDArray

WORKERS = 2
ROUNDS = 15
SMALL = 400
FLIGHT = 1_600
IN_FLIGHT = 64
ARRAYS = 12
ARRAY_BYTES = 10_000_000


def same(value: int) -> int:
    return value


def shifted(array: NDArray[np.float64]) -> NDArray[np.float64]:
    array += 1.0
    return array


async def one_by_one(call: Callable[[int], Awaitable[int]]) -> float:
    started = time.perf_counter()
    for number in range(SMALL):
        assert await call(number) == number
    return (time.perf_counter() - started) / SMALL


async def in_flight(call: Callable[[int], Awaitable[int]]) -> float:
    started = time.perf_counter()
    waiting = [call(number) for number in range(IN_FLIGHT)]
    for number in range(FLIGHT):
        assert await waiting[number % IN_FLIGHT] == number
        if number + IN_FLIGHT < FLIGHT:
            waiting[number % IN_FLIGHT] = call(number + IN_FLIGHT)
    return (time.perf_counter() - started) / FLIGHT


async def arrays(call: Callable[[Any], Awaitable[Any]]) -> float:
    import numpy as np

    array = np.zeros(ARRAY_BYTES // 8)
    started = time.perf_counter()
    for _ in range(ARRAYS):
        array = await call(array)
    seconds = time.perf_counter() - started
    assert array[0] == array[-1] == ARRAYS
    return seconds / ARRAYS


LOADS: dict[str, tuple[Callable[[Any], Awaitable[float]], Callable[[Any], Any]]] = {
    "small": (one_by_one, same),
    "flight": (in_flight, same),
    "array": (arrays, shifted),
}


async def measured() -> dict[str, dict[str, list[float]]]:
    loop = asyncio.get_running_loop()
    spawn = multiprocessing.get_context("spawn")
    times: dict[str, dict[str, list[float]]] = {load: {"tenire": [], "plain": [], "polite": []} for load in LOADS}
    async with ConcurrencyManager(cpu=WORKERS, memory=1 << 30) as manager:
        with (
            ProcessPoolExecutor(WORKERS, spawn) as plain,
            ProcessPoolExecutor(WORKERS, spawn, initializer=step_back) as polite,
        ):
            for number in range(-1, ROUNDS):
                for load, (run, fn) in LOADS.items():
                    calls = {
                        "tenire": partial(manager.submit, fn, on="process"),
                        "plain": partial(loop.run_in_executor, plain, fn),
                        "polite": partial(loop.run_in_executor, polite, fn),
                    }
                    for who, call in calls.items():
                        seconds = await run(call)
                        if number >= 0:  # the round before the first starts the workers
                            times[load][who].append(seconds * 1e6)
    return times


def main() -> None:
    """Measure and print."""
    for load, times in asyncio.run(measured()).items():
        medians = {who: statistics.median(values) for who, values in times.items()}
        report(
            "process_round_trip",
            load=load,
            workers=WORKERS,
            tenire_us=spread(times["tenire"], 1),
            executor_us=spread(times["plain"], 1),
            executor_at_lowest_priority_us=spread(times["polite"], 1),
            ratio=round(medians["tenire"] / medians["plain"], 3),
            ratio_at_equal_priority=round(medians["tenire"] / medians["polite"], 3),
        )


if __name__ == "__main__":
    main()
