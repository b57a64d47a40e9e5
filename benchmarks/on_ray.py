"""The same folder into a home here and on Ray: whether both end with the same, and what Ray costs.

Two parts, both with a cluster that the engine starts on this machine, with as many slots as here:

- a number through a worker and back, one by one, and starting and ending the cluster;
- whole runs in turns, process start included: passages stored, whether ledger and the five best
  hits for questions are equal, and the seconds of the pipeline and of the whole run.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import tempfile
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _common import cores, real_files, report, spread, tenire

from tenire.app.search import search
from tenire.concurrency import ConcurrencyManager
from tenire.engines.ray_engine import RayEngine

if TYPE_CHECKING:
    from collections.abc import Callable

SLOTS = 2
CALLS = 200


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, help="what to read instead of this Python's own sources")
    parser.add_argument("--bytes", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--questions", type=int, default=30)
    options = parser.parse_args()
    if find_spec("ray") is None:
        report("on_ray", skipped="Ray is not installed here")
        return
    report("on_ray.round_trip", cores=cores(), slots=SLOTS, **asyncio.run(round_trips()))
    with tempfile.TemporaryDirectory(prefix="tenire-ray-bench-") as temporary:
        work = Path(temporary)
        folder = options.folder.absolute() if options.folder else work / "files"
        if options.folder is None:
            real_files(folder, size=options.bytes)
        runs: dict[str, list[dict[str, Any]]] = {"local": [], "ray": []}
        for number in range(options.rounds):
            for engine in ("local", "ray") if number % 2 else ("ray", "local"):
                runs[engine].append(one_run(work, folder, engine, number, options.embedder))
        questions = asked(folder, options.questions)
        homes = [work / "home-local-0", work / "home-ray-0"]
        here, there = ([hits(home, question) for question in questions] for home in homes)
        report(
            "on_ray.runs",
            embedder=options.embedder,
            cores=cores(),
            slots=SLOTS,
            passages={engine: sorted({run["chunks"] for run in told}) for engine, told in runs.items()},
            equal_ledgers=len({ledger(home) for home in homes}) == 1,
            equal_top5=sum(one == other for one, other in zip(here, there, strict=True)),
            questions=len(questions),
            pipeline_s={engine: spread([run["pipeline"] for run in told], 2) for engine, told in runs.items()},
            whole_s={engine: spread([run["whole"] for run in told], 2) for engine, told in runs.items()},
        )


async def round_trips() -> dict[str, Any]:
    """Return milliseconds for a number and back on both ways, and the seconds of the cluster itself."""
    engine = RayEngine(None, cpu=SLOTS)
    connect = seconds(engine.connect)
    found: dict[str, float] = {}
    async with ConcurrencyManager(cpu=SLOTS, memory=1 << 30, adaptive=False) as manager:
        manager.thread_pool.use(engine)
        for on in ("process", "anywhere"):
            await manager.submit(abs, 1, on=on)  # it starts a worker
            times = []
            for number in range(CALLS):
                started = time.perf_counter()
                await manager.submit(abs, number, on=on)
                times.append(1000 * (time.perf_counter() - started))
            found["local_ms" if on == "process" else "ray_ms"] = spread(times, 2)["median"]
    return {**found, "connect_s": round(connect, 2), "disconnect_s": round(seconds(engine.disconnect), 2)}


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def one_run(work: Path, folder: Path, engine: str, number: int, embedder: str) -> dict[str, Any]:
    """Run once into a home of its own."""
    home = f"home-{engine}-{number}"
    file = work / f"{home}.toml"
    file.write_text(
        f'[tenire]\nhome = "{home}"\ncpu = {SLOTS}\nengine = "{engine}"\n'
        f'[pipelines.p]\nsource = "{folder}"\nembedder = "{embedder}"\n'
    )
    started = time.perf_counter()
    totals = tenire("run", str(file))["pipelines"]["p"]
    whole = time.perf_counter() - started
    return {"chunks": totals["chunks"], "pipeline": totals["seconds"], "whole": whole}


def asked(folder: Path, count: int) -> list[str]:
    """Return lines of files, as questions."""
    rng = random.Random(1)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = []
    for path in rng.sample(files, min(count, len(files))):
        found = [line.strip() for line in path.read_text("utf-8", "replace").splitlines() if len(line.strip()) > 40]
        lines += rng.sample(found, min(1, len(found)))
    return lines


def hits(home: Path, question: str) -> list[tuple[str, str, float]]:
    """Return the five best hits."""
    return [(hit.source, hit.text, round(hit.score, 6)) for hit in search(home, question, k=5, exact=True).hits]


def ledger(home: Path) -> tuple[Any, ...]:
    """Return what the ledger has of each file."""
    asks = "SELECT source, content_hash, state, document FROM sources ORDER BY source"
    with closing(sqlite3.connect(home / "ledger.db")) as database:
        return tuple(database.execute(asks).fetchall())


if __name__ == "__main__":
    main()
