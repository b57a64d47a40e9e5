"""What the dashboard costs with twenty pages open, ten views a second, and the engine that it shows.

The engine, in a process of its own, has four pipelines whose counters change all the time. The
dashboard, in another one, attaches to it. Twenty readers in this process take its event stream.
Processor time is what the kernel says of each process, over ``SECONDS``; each round measures
both without a page and with all of them.

Exits 1 if the dashboard takes more of a core than it may, at the median of the rounds, or sends fewer views.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from _common import judge, spread

PAGES, SECONDS, ROUNDS = 20, 8.0, 3
MOST = {"dashboard_core_share.median": 0.015}
LEAST = {"views_per_second.median": 9.0}
"""Ten, less what a look at a clock may cost: one that sends fewer views costs less, and would seem good."""

ENGINE = """
import asyncio, sys
from tenire import ConcurrencyManager
from tenire.app.control import controlled
from tenire.clock import SYSTEM_CLOCK
from tenire.pipeline.progress import PipelineProgress, StageProgress
from tenire.storage.home import Home, HomeLock

async def main(home):
    stages = ("read", "clean", "embed", "store")
    progress = {
        f"pipeline {n}": PipelineProgress(
            f"pipeline {n}", state="running", listed=True, bytes_seen=10**12, seen=10**9,
            stages=[StageProgress(name) for name in stages],
        )
        for n in range(4)
    }
    async with ConcurrencyManager() as manager, controlled(home, manager, progress, clock=SYSTEM_CLOCK):
        for each in progress.values():
            for _ in range(20):
                manager.submit(asyncio.Event().wait, pipeline=each.name)
        print("ready", flush=True)
        while True:
            for each in progress.values():
                each.done += 1
                each.bytes_done += 10_000
                each.stages[2].done += 8
            await asyncio.sleep(0.02)

home = Home(sys.argv[1])
with HomeLock(home):
    asyncio.run(main(home))
"""

PAGE = """
import asyncio, sys
from tenire.dashboard import Dashboard
from tenire.storage.home import Home

async def main():
    async with made as running:
        print(running.port, flush=True)
        await running.wait_ended()

made = Dashboard(Home(sys.argv[1]), port=0, token="token")
asyncio.run(main())
"""


class Page:
    """A reader of the event stream; counts what it gets."""

    def __init__(self) -> None:
        self.views = self.bytes = 0

    async def read(self, port: int) -> None:
        """Read until it is cancelled."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        try:
            writer.write(b"GET /events?token=token HTTP/1.1\r\nhost: localhost\r\n\r\n")
            while line := await reader.readline():
                self.bytes += len(line)
                self.views += line.startswith(b"data: ")
        finally:
            writer.close()


def used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def share(processes: list[psutil.Process]) -> list[float]:
    """Return the part of a core that each process takes."""
    await asyncio.sleep(2.0)
    before = [used(process) for process in processes]
    await asyncio.sleep(SECONDS)
    return [(used(process) - earlier) / SECONDS for process, earlier in zip(processes, before, strict=True)]


async def measure(port: int, processes: list[psutil.Process]) -> bool:
    without: list[list[float]] = []
    with_pages: list[list[float]] = []
    rates: list[float] = []
    size = 0
    for _ in range(ROUNDS):
        without.append(await share(processes))
        pages = [Page() for _ in range(PAGES)]
        reading = [asyncio.create_task(page.read(port)) for page in pages]
        await asyncio.sleep(1.0)
        before = sum(page.views for page in pages)
        with_pages.append(await share(processes))
        rates.append((sum(page.views for page in pages) - before) / PAGES / (SECONDS + 2.0))
        size = round(sum(page.bytes for page in pages) / max(1, sum(page.views for page in pages)))
        for task in reading:
            task.cancel()
        await asyncio.wait(reading)
    return judge(
        "dashboard",
        pages=PAGES,
        views_per_second=spread(rates, 2),
        bytes_per_view=size,
        dashboard_core_share=spread([dashboard for _, dashboard in with_pages], 4),
        dashboard_core_share_without_pages=spread([dashboard for _, dashboard in without], 4),
        engine_core_share=spread([engine for engine, _ in with_pages], 4),
        engine_core_share_without_pages=spread([engine for engine, _ in without], 4),
        resident_mib=round(processes[1].memory_info().rss / 2**20, 1),
        most=MOST,
        least=LEAST,
    )


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        home = str(Path(directory) / "home")
        started = []
        try:
            for program in (ENGINE, PAGE):
                process = subprocess.Popen([sys.executable, "-c", program, home], stdout=subprocess.PIPE, text=True)
                started.append(process)
                assert process.stdout is not None
                said = process.stdout.readline()
            within = asyncio.run(measure(int(said), [psutil.Process(process.pid) for process in started]))
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait()
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
