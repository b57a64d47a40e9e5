"""How long an empty engine takes from its making to the end of its first task, and to stop; no processes.

The first engine of a program also loads modules; that is told apart. Beside it, interleaved, the same with
a bare event loop and one thread, for the speed of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from _common import report, spread

from tenire import ConcurrencyManager

MUST_MS = 50

FIRST = """
import time
began = time.perf_counter()
import asyncio
from tenire import ConcurrencyManager
from engine_start import once
loaded = time.perf_counter()
print((loaded - began) * 1e3, *asyncio.run(once()))
"""


async def nothing() -> None:
    pass


async def once() -> tuple[float, float]:
    """Return the milliseconds to the end of the first task, and those of the stop."""
    began = time.perf_counter()
    async with ConcurrencyManager() as manager:
        await manager.submit(nothing)
        done = time.perf_counter()
    return (done - began) * 1e3, (time.perf_counter() - done) * 1e3


async def bare() -> float:
    """Return the milliseconds that a thread takes to start, do one thing and end."""
    began = time.perf_counter()
    with ThreadPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, int)
    return (time.perf_counter() - began) * 1e3


def first() -> tuple[float, ...]:
    """Return the milliseconds of imports, of the start and of the stop in a new program."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    return tuple(map(float, done.stdout.split()))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    asyncio.run(once())  # loads what is loaded late
    rounds = [(asyncio.run(bare()), *asyncio.run(once())) for _ in range(options.rounds)]
    new = [first() for _ in range(max(1, options.rounds // 6))]
    figures = {
        "first_task_ms": spread([start for _, start, _ in rounds], 2),
        "stop_ms": spread([stop for _, _, stop in rounds], 2),
        "new_program_first_task_ms": spread([start for _, start, _ in new], 2),
        "new_program_stop_ms": spread([stop for _, _, stop in new], 2),
    }
    within = max(figure["median"] for figure in figures.values()) <= MUST_MS
    report(
        "engine_start",
        **figures,
        bare_thread_ms=spread([thread for thread, _, _ in rounds], 2),
        new_program_imports_ms=spread([loaded for loaded, _, _ in new], 1),
        must_ms=MUST_MS,
        within=within,
    )
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
