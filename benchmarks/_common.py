"""What the benchmarks share: real files, repeated measuring, one JSON line each."""

from __future__ import annotations

import json
import math
import random
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Usage", "cores", "ingest", "judge", "real_files", "report", "spread"]


def report(name: str, **figures: Any) -> None:
    """Print one JSON line."""
    print(json.dumps({"bench": name, **figures}), flush=True)


def judge(name: str, *, most: Mapping[str, float], least: Mapping[str, float] | None = None, **figures: Any) -> bool:
    """Print one JSON line with what its figures must be; return whether each of them is.

    Args:
        name: The benchmark's.
        most: How high a figure may be, by its name; ``frame_ms.p99`` is one inside another.
        least: How low it may be.
        figures: All of them.
    """
    must = {path: ("at most", limit) for path, limit in most.items()}
    must |= {path: ("at least", limit) for path, limit in (least or {}).items()}
    missed = []
    for path, (how, limit) in must.items():
        value: Any = figures
        for step in path.split("."):
            value = value[step]
        # What was not measured is not a number, and is neither above nor below anything.
        if not (value <= limit if how == "at most" else value >= limit):
            missed.append(f"{path} must be {how} {limit:g}, measured {value:g}")
    report(name, **figures, must={path: f"{how} {limit:g}" for path, (how, limit) in must.items()}, within=not missed)
    for each in missed:
        print(f"{name}: {each}", file=sys.stderr)
    return not missed


def spread(values: list[float], digits: int = 3) -> dict[str, float]:
    """Return minimum, median and maximum."""
    return {
        "min": round(min(values), digits),
        "median": round(statistics.median(values), digits),
        "max": round(max(values), digits),
    }


def cores() -> int:
    """Return how many cores are really there for this process, a part of one counted as one."""
    # Imported here: some benchmarks weigh what a process has imported.
    from tenire.observe.machine import read_machine

    return math.ceil(read_machine().usable_cores)


def real_files(folder: Path, *, size: int, seed: int = 0, skip: int = 0) -> int:
    """Copy this Python's own sources into a folder, up to ``size`` bytes; return how many.

    Args:
        folder: Where to.
        size: Bytes at the most.
        seed: Which order.
        skip: Bytes to leave out first, so that two folders have nothing in common.
    """
    library = Path(sysconfig.get_path("stdlib"))
    found = sorted(path for path in library.rglob("*.py") if "site-packages" not in path.parts)
    found = [path for path in found if 500 < path.stat().st_size < 100_000]
    random.Random(seed).shuffle(found)
    files = passed = copied = 0
    for path in found:
        length = path.stat().st_size
        if passed < skip:
            passed += length
            continue
        if copied + length > size:
            break
        target = folder / f"{files % 20}" / f"{path.parent.name}-{files}-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        copied += length
        files += 1
    return files


class Usage:
    """Wall and CPU seconds of a block, children that were waited for included."""

    def __enter__(self) -> Usage:
        self._wall, self._cpu = time.perf_counter(), _cpu()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, _cpu() - self._cpu


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def tenire(*words: str) -> dict[str, Any]:
    """Run a command and return its JSON."""
    command = [sys.executable, "-m", "tenire", *words, "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def ingest(folder: Path, home: Path, embedder: str) -> dict[str, Any]:
    """Run ``tenire ingest`` and return its JSON."""
    return tenire("ingest", str(folder), "--home", str(home), "--embedder", embedder)
