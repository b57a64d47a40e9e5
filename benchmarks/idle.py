"""What an engine costs that has nothing to do: CPU time, and memory over a Python with the same imports.

Each engine lives in a process of its own and is looked at from outside. ``fresh`` was only started;
``used`` has run tasks on the loop and on threads before, and holds what it keeps warm.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from typing import Any

from _common import report, spread

ENGINE = """
import asyncio, json, resource, sys, time
from tenire import ConcurrencyManager

async def nothing():
    pass

def still():
    pass

def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(each.ru_utime + each.ru_stime for each in used)

async def main(used, seconds):
    async with ConcurrencyManager() as manager:
        if used:
            for fn in [nothing, still] * 1000:
                await manager.submit(fn)
        await asyncio.sleep(2.0)  # what is done once after the start
        before, woken = cpu(), resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
        await asyncio.sleep(seconds)
        share = (cpu() - before) / seconds
        wakes = (resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - woken) / seconds
        print(json.dumps({"cpu": share, "wakes_per_s": wakes, "modules": sorted(sys.modules)}), flush=True)
        sys.stdin.read(1)

asyncio.run(main(sys.argv[1] == "used", float(sys.argv[2])))
"""

BARE = """
import importlib, json, sys
for name in json.loads(sys.stdin.readline()):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
print("{}", flush=True)
sys.stdin.read(1)
"""


def start(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def end(started: subprocess.Popen[str]) -> tuple[dict[str, Any], int]:
    """Wait for a program's line; return it and the bytes that the program then holds; let it end."""
    import psutil

    assert started.stdout is not None
    line = json.loads(started.stdout.readline())
    held = psutil.Process(started.pid).memory_info().rss
    started.communicate("\n")
    return line, held


def bare(modules: list[str]) -> int:
    """Return the bytes of a Python that has these modules and does nothing."""
    started = start(BARE)
    assert started.stdin is not None
    started.stdin.write(json.dumps([name for name in modules if name != "__main__"]) + "\n")
    started.stdin.flush()
    return end(started)[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    # All at once: they are idle.
    engines = {
        kind: [start(ENGINE, kind, str(options.seconds)) for _ in range(options.rounds)] for kind in ("fresh", "used")
    }
    for kind, started in engines.items():
        lines, held = zip(*[end(each) for each in started], strict=True)
        without = statistics.median(bare(lines[0]["modules"]) for _ in range(options.rounds))
        report(
            f"idle_{kind}",
            cpu_percent=spread([line["cpu"] * 100 for line in lines]),
            wakes_per_s=spread([line["wakes_per_s"] for line in lines], 1),
            over_bare_python_mb=spread([(rss - without) / 1e6 for rss in held], 2),
            bare_python_mb=round(without / 1e6, 1),
        )


if __name__ == "__main__":
    main()
