"""What a guard costs: microseconds of processor time that it adds to a call that does nothing.

All guards take turns within one process, round by round; ``budget_us`` is the most that
one may cost with every layer that needs no second task. ``asyncio.timeout`` stands beside
them for scale: two layers are made of it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

from _common import report, spread

from tenire import guarded
from tenire.resilience import MemoryCache

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROUNDS = 30
CALLS = 500
BUDGET_US = 300.0

GUARDS: dict[str, dict[str, Any]] = {
    "no_layer": {},
    "retry": {"retry": 3},
    "breaker": {"breaker": True},
    "limit": {"limit": 8},
    "timeout": {"timeout": 10.0},
    "deadline": {"deadline": 60.0},
    "retry_to_timeout": {"retry": 3, "breaker": True, "limit": 8, "timeout": 10.0, "deadline": 60.0},
    "share": {"share": True},
    "hedge": {"hedge": True, "idempotent": True},
    "all": {
        "retry": 3, "breaker": True, "limit": 8, "timeout": 10.0, "deadline": 60.0, "hedge": True, "idempotent": True,
        "cache": MemoryCache(16),
    },
}  # fmt: skip


async def nothing(number: int) -> int:
    return number


async def timed_only(number: int) -> int:
    async with asyncio.timeout(10.0):
        return await nothing(number)


async def cost(call: Callable[[int], Awaitable[int]], first: int) -> float:
    """Return microseconds of processor time for one call, the mean of many, each with another argument."""
    started = time.process_time()
    for number in range(first, first + CALLS):
        await call(number)
    return (time.process_time() - started) / CALLS * 1e6


async def main() -> None:
    """Measure and print."""
    calls: dict[str, Callable[[int], Awaitable[int]]] = {"bare": nothing, "asyncio_timeout": timed_only}
    calls |= {name: guarded(**options)(nothing) for name, options in GUARDS.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-2, ROUNDS):
        for name, call in calls.items():
            taken = await cost(call, number * CALLS)
            if number >= 0:
                times[name].append(taken)
    bare = statistics.median(times.pop("bare"))
    added = {name: spread([one - bare for one in values], 1) for name, values in times.items()}
    report("guarded", budget_us=BUDGET_US, added_us=added, within=added["all"]["median"] <= BUDGET_US)


if __name__ == "__main__":
    asyncio.run(main())
