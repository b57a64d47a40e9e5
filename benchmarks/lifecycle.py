"""Milliseconds from entering an engine to the end of its first task, and for leaving it; without worker processes.

- first: in a fresh interpreter that has imported Tenire, as every program has it;
- again: in an interpreter that had one before;
- home: as again, with a home, whose ledger is read at the start and written at the end;
- thread: as again, on a loop in a thread of its own.

The machine is looked at, as by default. The worst of the medians is what counts. On a machine that is busy with other
things look at ``first_cpu_ms`` instead: the processor time of a first start and end together.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import Any

from _common import report, spread

FRESH, AGAIN = 15, 40
MUST_MS = 50

ENGINES = """
import asyncio, json, sys, time
from tenire import ConcurrencyManager

async def nothing():
    pass

def figures(entering, started, ended):
    return {"start": (started - entering) * 1e3, "stop": (ended - started) * 1e3}

def first():
    began = time.process_time()
    return asyncio.run(engine()) | {"cpu": (time.process_time() - began) * 1e3}

async def engine(home=None):
    entering = time.perf_counter()
    async with ConcurrencyManager(home=home) as manager:
        await manager.submit(nothing)
        started = time.perf_counter()
    return figures(entering, started, time.perf_counter())

def thread():
    entering = time.perf_counter()
    with ConcurrencyManager.in_thread() as manager:
        manager.submit(nothing).result()
        started = time.perf_counter()
    return figures(entering, started, time.perf_counter())

home, times = sys.argv[1], int(sys.argv[2])
told = {"first": [first()], "again": [], "home": [], "thread": []}
for _ in range(times):
    told["again"].append(asyncio.run(engine()))
    told["home"].append(asyncio.run(engine(home)))
    told["thread"].append(thread())
print(json.dumps(told))
"""


def engines(home: str, times: int) -> dict[str, list[dict[str, float]]]:
    """Return what one interpreter measured."""
    words = [sys.executable, "-c", ENGINES, home, str(times)]
    told: dict[str, Any] = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    return told


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as home:
        first = [engines(home, 0)["first"][0] for _ in range(FRESH)]
        told = engines(home, AGAIN) | {"first": first}
    figures = {
        f"{way}_{what}_ms": spread([each[what] for each in measured], 1)
        for way, measured in told.items()
        for what in ("start", "stop")
    }
    worst = {
        f"worst_{what}_ms": max(spread_["median"] for name, spread_ in figures.items() if name.endswith(f"{what}_ms"))
        for what in ("start", "stop")
    }
    within = max(worst.values()) <= MUST_MS
    cpu = spread([each["cpu"] for each in first], 1)
    report("lifecycle", **figures, first_cpu_ms=cpu, **worst, must_ms=MUST_MS, within=within)
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
