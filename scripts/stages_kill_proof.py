"""Kills pipelines of stages at random moments and proves that nothing shows in their outputs in the end.

    python scripts/stages_kill_proof.py [--kills 10] [--items 3000] [--seed 1] [--sink jsonl parquet db]

Items of a generator go through three stages, on a thread, in worker processes and on the loop,
into a file of each form. The same is done in a second home whose engine is killed with SIGKILL
again and again, while items change, leave and come back between two runs. A last run goes to
its end. Then the file must hold the same records as the undisturbed one, ``tenire verify``
must be clean, and no process of the engine may be left two seconds after a kill.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

from tenire.app.inspect import verify

ORPHANS_GONE_S = 2.0

PROGRAM = """
import asyncio
import sys

import tenire


def upper(items):
    return [{**item, "text": item["text"].upper()} for item in items]


@tenire.stage(on="process", batch=50)
def measure(items):
    return [{**item, "sum": sum(sum(map(ord, item["text"])) for _ in range(200))} for item in items]


@tenire.stage(batch=32)
async def split(items):
    await asyncio.sleep(0.001)
    return [[{"part": part, "sum": item["sum"]} for part in item["text"].split()] for item in items]


def items(count, variant):
    for number in range(count):
        if (number + variant) % 50 or not variant:
            text = f"item {number} of many" if not variant or number % 7 else f"item {number} variant {variant}"
            yield {"id": number, "text": text}


if __name__ == "__main__":
    sink, home, count, variant = sys.argv[1:]
    pipeline = tenire.Pipeline("p", items(int(count), int(variant)), stages=[upper, measure, split], sink=sink)
    report = tenire.run(pipeline, home=home, cpu=2)
    sys.exit(len(report.failed))
"""


def records(path: Path) -> dict[Any, Any]:
    """Return what a file holds, by id."""
    if path.suffix == ".jsonl":
        found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    elif path.suffix == ".parquet":
        import pyarrow.parquet

        found = pyarrow.parquet.read_table(path).to_pylist()
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row
            found = [dict(row) for row in connection.execute("SELECT * FROM items")]
    by_id = {record["id"]: record for record in found}
    if len(by_id) != len(found):
        raise SystemExit(f"{path} holds {len(found)} records with {len(by_id)} ids")
    return by_id


def start(program: Path, sink: Path, home: Path, items: int, variant: int) -> subprocess.Popen[bytes]:
    """Start a run of the program."""
    words = [sys.executable, str(program), str(sink), str(home), str(items), str(variant)]
    return subprocess.Popen(words, cwd=program.parent, stderr=subprocess.PIPE)


def finish(engine: subprocess.Popen[bytes]) -> None:
    """Wait for a run that has to end well."""
    _, told = engine.communicate()
    if engine.returncode:
        raise SystemExit(f"a run ended with {engine.returncode}: {told.decode()}")


def killed(engine: subprocess.Popen[bytes], after: float) -> bool:
    """Kill a run after some seconds; return whether it still ran."""
    with engine:
        try:
            engine.wait(after)
        except subprocess.TimeoutExpired:
            children = psutil.Process(engine.pid).children(recursive=True)
            os.kill(engine.pid, signal.SIGKILL)
            engine.wait()
            _, left = psutil.wait_procs(children, timeout=ORPHANS_GONE_S)
            left = [each for each in left if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
            if left:
                raise SystemExit(f"left {ORPHANS_GONE_S} s after the kill: {left}") from None
            return True
        if engine.returncode:
            assert engine.stderr is not None
            raise SystemExit(f"a run ended with {engine.returncode}: {engine.stderr.read().decode()}")
    return False


def prove(folder: Path, ending: str, kills: int, items: int, rng: random.Random) -> None:
    """Run the proof for one form of output."""
    program = folder / "program.py"
    program.write_text(PROGRAM, "utf-8")
    calm, disturbed = folder / f"calm.{ending}", folder / f"killed.{ending}"
    started = time.perf_counter()
    finish(start(program, calm, folder / "calm", items, 0))
    seconds = time.perf_counter() - started
    expected = records(calm)
    done = runs = 0
    while done < kills:
        runs += 1
        variant = rng.choice([0, 0, 1, 2, 3])
        hit = killed(start(program, disturbed, folder / "killed", items, variant), rng.uniform(0.1, seconds))
        done += hit
        if not hit and runs % 3 == 0:
            # The home is complete now and has few moments left to hit: start over.
            shutil.rmtree(folder / "killed")
            disturbed.unlink()
    finish(start(program, disturbed, folder / "killed", items, 0))
    if records(disturbed) != expected:
        raise SystemExit(f"{ending}: the outputs differ")
    for home in ("calm", "killed"):
        check = verify(folder / home)
        if not check.ok:
            raise SystemExit(f"{ending}: {check}")
    print(f"{ending}: {done} kills in {runs} runs of {seconds:.1f} s; {len(expected):,} records, equal", flush=True)


def main() -> None:
    """Run the proof; exits with 0 if it holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--items", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sink", nargs="+", default=["jsonl", "parquet", "db"])
    options = parser.parse_args()
    rng = random.Random(options.seed)
    for ending in options.sink:
        with tempfile.TemporaryDirectory(prefix="tenire-kills-") as temporary:
            prove(Path(temporary), ending, options.kills, options.items, rng)


if __name__ == "__main__":
    main()
