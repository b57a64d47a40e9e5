"""An unchanged run against the first, as a process and inside one; and the time of a search.

``--small N`` only runs over so many small files, inside one process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from _common import Usage, ingest, real_files, report, spread, tenire

from tenire import Pipeline, Store, run

QUERIES = 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--bytes", type=int, default=2_000_000)
    parser.add_argument("--small", type=int, default=0)
    options = parser.parse_args()
    if options.small:
        small(options.small)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder, home = Path(temporary) / "files", Path(temporary) / "home"
        files = real_files(folder, size=options.bytes)
        with Usage() as first:
            totals = ingest(folder, home, options.embedder)
        again = []
        for _ in range(5):
            with Usage() as usage:
                unchanged = ingest(folder, home, options.embedder)["pipelines"]["ingest"]
            assert unchanged["unchanged"] == files, unchanged
            again.append(usage.wall)
        pipeline = Pipeline("ingest", source=folder, embedder=options.embedder)
        inside = [run(pipeline, home=home).seconds for _ in range(5)]
        report(
            "rerun",
            embedder=options.embedder,
            files=files,
            chunks=totals["pipelines"]["ingest"]["chunks"],
            first_s=round(first.wall, 2),
            again_s=spread(again),
            ratio_with_process=round(first.wall / sorted(again)[2], 1),
            inside_s=spread(inside, 4),
            ratio_inside=round(totals["seconds"] / sorted(inside)[2], 1),
        )
        search(home, folder)


def small(files: int) -> None:
    """Run over small files, first and unchanged."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, home = Path(temporary) / "files", Path(temporary) / "home"
        for number in range(files):
            place = folder / str(number // 200)
            place.mkdir(parents=True, exist_ok=True)
            place.joinpath(f"{number}.txt").write_text(f"Document {number} is about subject {number * 7919 % 10007}.")
        pipeline = Pipeline("ingest", source=folder, embedder="static")
        first = run(pipeline, home=home).seconds
        again = []
        for _ in range(5):
            with Usage() as usage:
                result = run(pipeline, home=home)
            assert result.pipelines["ingest"].unchanged == files, result
            again.append((usage.wall, usage.cpu))
        walls, cpus = ([pair[place] for pair in again] for place in (0, 1))
        report("rerun_small", files=files, first_s=round(first, 2), again_s=spread(walls), cpu_s=spread(cpus))


def search(home: Path, folder: Path) -> None:
    """Search for lines of known files: found first, and how fast."""
    known = []
    for path in sorted(folder.rglob("*.py")):
        lines = [line.strip(" #\"'") for line in path.read_text("utf-8", "replace").splitlines()]
        line = max((line for line in lines if 60 < len(line) < 110), key=len, default="")
        if line and not any(
            line in other.read_text("utf-8", "replace") for other in folder.rglob("*.py") if other != path
        ):
            known.append((line, path))
        if len(known) == QUERIES:
            break
    figures: dict[str, object] = {}
    with Store(home) as store:
        for mode in ("hybrid", "vector", "text"):
            store.search("warm up", mode=mode)
            times, first = [], 0
            for line, path in known:
                started = time.perf_counter()
                hits = store.search(line, k=5, mode=mode).hits
                times.append((time.perf_counter() - started) * 1000)
                first += bool(hits) and str(path) in (hits[0].source, *hits[0].also)
            figures[mode] = {"found_first": f"{first}/{len(known)}", "ms": spread(times, 1)}
    cold = []
    for _ in range(3):
        with Usage() as usage:
            tenire("search", known[0][0], "--home", str(home))
        cold.append(usage.wall)
    report("search", **figures, cold_command_s=spread(cold))


if __name__ == "__main__":
    main()
