"""What a foreign program that computes loses beside an engine whose workers compute flat out.

The foreign program is a plain Python loop in a process of its own, at normal priority, that counts
its turns. It runs alone and beside the engine in turns, so that what else the machine does disturbs
both alike. ``plain`` is the same with as many bare processes at lowest priority in the engine's
place: what the cores themselves take away. Then: how long the engine takes to step back when the
program starts, and to return when it has ended.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from _common import cores, report, spread

from tenire import ConcurrencyManager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

TURN_S = 0.6
TASK_S = 0.05
SETTLE_S = 0.15
STEP_BACK_S, RETURN_S = 6.0, 32.0
"""How long to wait for it at the most."""

# Writes its count some thirty times a second, so that its rate in any span can be read off.
HOG = """
import time
turns, due = 0, time.monotonic()
while True:
    turns += 1
    sum(range(100))
    if not turns & 255 and (now := time.monotonic()) >= due:
        print(now, turns, flush=True)
        due = now + 0.03
"""
POLITE = "import os\nos.nice(19)\nwhile True: sum(range(100))"


def compute(seconds: float) -> None:
    """Compute for a while; runs in a worker process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(200))


@contextlib.contextmanager
def process(code: str, *, pipe: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the block ends."""
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE if pipe else None, text=True)
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        if started.stdout is not None:
            started.stdout.close()


class Hogs:
    """Foreign programs."""

    def __init__(self, started: list[subprocess.Popen[str]]) -> None:
        self._pipes = [each.stdout.fileno() for each in started if each.stdout is not None]
        for pipe in self._pipes:
            os.set_blocking(pipe, False)

    async def rate(self, seconds: float) -> float:
        """Return the turns a second, of all together, from now on."""
        self._read()
        await asyncio.sleep(seconds)
        total = 0.0
        for lines in self._read():
            # The first line after a break may be cut off.
            (first, before), (last, after) = (map(float, line.split()) for line in (lines[1], lines[-1]))
            total += (after - before) / (last - first)
        return total

    def _read(self) -> list[list[str]]:
        texts = []
        for pipe in self._pipes:
            text = b""
            with contextlib.suppress(BlockingIOError):
                while part := os.read(pipe, 1 << 16):
                    text += part
            texts.append(text.decode().split("\n")[:-1])
        return texts


@contextlib.asynccontextmanager
async def busy(manager: ConcurrencyManager) -> AsyncIterator[None]:
    """Keep the engine's workers busy until the block ends."""
    left = 0
    over = False
    ended = asyncio.Event()

    def again(_: object = None) -> None:
        nonlocal left
        left -= 1
        if not over:
            submit()
        elif not left:
            ended.set()

    def submit() -> None:
        nonlocal left
        left += 1
        manager.submit(compute, TASK_S, on="process").add_done_callback(again)

    for _ in range(4 * int(manager.cpu)):
        submit()
    await asyncio.sleep(SETTLE_S)
    try:
        yield
    finally:
        # Not cancelled: that would kill the workers, and new ones would have to start.
        over = True
        await ended.wait()


async def slowdown(manager: ConcurrencyManager, hogs: int, rounds: int) -> dict[str, object]:
    """Return the part of their speed that foreign programs lose."""
    workers = int(manager.cpu)
    beside, plain = [], []
    with contextlib.ExitStack() as stack:
        foreign = Hogs([stack.enter_context(process(HOG, pipe=True)) for _ in range(hogs)])
        await asyncio.sleep(1.0)
        before = await foreign.rate(TURN_S)
        for _ in range(rounds):
            async with busy(manager):
                engine = await foreign.rate(TURN_S)
            between = await foreign.rate(TURN_S)
            with contextlib.ExitStack() as polite:
                for _ in range(workers):
                    polite.enter_context(process(POLITE))
                await asyncio.sleep(SETTLE_S)
                bare = await foreign.rate(TURN_S)
            after = await foreign.rate(TURN_S)
            beside.append(1 - 2 * engine / (before + between))
            plain.append(1 - 2 * bare / (between + after))
            before = after
    return {"slowdown": spread(beside), "slowdown_beside_plain": spread(plain)}


async def stepping_back(manager: ConcurrencyManager) -> dict[str, float | None]:
    """Return the seconds until the engine offers fewer CPU slots, and until it offers all again."""

    def capacity() -> float:
        cpu = getattr(manager.snapshot(), "resources", {}).get("cpu")
        return getattr(cpu, "capacity", 0.0)

    async def until(lower: bool, whole: float, limit: float) -> float | None:
        began = time.monotonic()
        while time.monotonic() - began < limit:
            if (capacity() < whole) == lower:
                return round(time.monotonic() - began, 2)
            await asyncio.sleep(0.05)
        return None

    async with busy(manager):
        await until(False, manager.cpu, RETURN_S)
        whole = capacity()
        with process(HOG.replace("flush=True", "file=open(os.devnull, 'w')").replace("import time", "import os, time")):
            back = await until(True, whole, STEP_BACK_S)
        again = await until(False, whole, RETURN_S) if back is not None else None
    return {"back_after_s": back, "returned_after_s": again}


async def measure(rounds: int) -> None:
    async with ConcurrencyManager(cpu=cores(), memory=1 << 30) as manager:
        for handle in [manager.submit(compute, 0.3, on="process") for _ in range(cores())]:
            await handle  # the workers have started
        for hogs in sorted({1, cores()}):
            figures = await slowdown(manager, hogs, rounds if hogs == 1 else max(1, rounds // 2))
            report("foreign_load", hogs=hogs, workers=cores(), cores=cores(), **figures)
        report("foreign_load_step_back", **await stepping_back(manager))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    asyncio.run(measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
