"""Kills each supervised component of an engine while the demo's pipelines run, and proves that the run completes equal.

    python scripts/component_proof.py [--files 60] [--rows 4] [--together] [--only NAME]…

The pipelines are those of ``make demo``: two over documents, beside a third that has a small model on this machine
summarise some of them; the corpus is a small one, of this Python's own library. They run once undisturbed. Then they
run on a home of its own for each component, which is killed in the middle; with ``--together`` in one run, in which
all are killed in turn. Each time tasks of the pipelines must run just then, the component must come up again, and the
run must end with the counts, the passages and the rows of the undisturbed one.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from corpus import halves
from demo import write_config
from kill_components import COMPONENTS
from summaries import prepare_rows

import tenire

KILLER = Path(__file__).with_name("kill_components.py")
QUERIES = ("parse a header line", "open a connection to a server", "the tree of a module")
MOST_IDLE = 10
"""Of so many kills, one may come when no task runs: a moment between two tasks is no fault of the proof."""

COUNTS = ("seen", "done", "unchanged", "quarantined", "chunks")


class Outcome(NamedTuple):
    """What a run has left.

    Attributes:
        counts: Of each pipeline.
        passages: What three exact searches find.
        rows: Which rows have a summary, each as often as it stands there.
    """

    counts: dict[str, dict[str, int]]
    passages: list[tuple[str, str]]
    rows: list[str]


def main() -> int:
    """Run the proof; return 0 if it holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--only", action="append", choices=COMPONENTS, help="a component; default: all of them")
    parser.add_argument("--together", action="store_true", help="all of them in one run, in turn")
    options = parser.parse_args()
    chosen = tuple(options.only or COMPONENTS)
    with tempfile.TemporaryDirectory(prefix="tenire-components-") as temporary:
        base = Path(temporary)
        copy_files(base / "corpus", options.files)
        calm, seconds = run(base, "calm", options.rows, ("-m", "tenire"))
        print(f"undisturbed: {seconds:.1f} s, {calm.counts}", flush=True)
        idle: list[str] = []
        for names in [chosen] if options.together else [(name,) for name in chosen]:
            idle += attack(base, names, options.rows, calm)
    if len(idle) > len(chosen) // MOST_IDLE:
        raise SystemExit(f"killed when no task ran: {', '.join(idle)}; give it more --files or --rows")
    hits = f"{len(chosen) - len(idle)} of {len(chosen)} component(s)"
    print(f"{hits} killed while tasks of the pipelines ran: equal counts, passages and rows")
    return 0


def copy_files(folder: Path, files: int) -> None:
    """Copy real files of different sizes into two folders, the same in every run."""
    found = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-z]*/*.py"))
    found = [path for path in found if 2_000 < path.stat().st_size < 60_000 and "site-packages" not in path.parts]
    random.Random(0).shuffle(found)
    for number, path in enumerate(found[:files]):
        target = folder / ("first", "second")[number % 2] / f"{number}-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def run(base: Path, name: str, rows: int, through: tuple[str, ...]) -> tuple[Outcome, float]:
    """Run the demo's pipelines on a home of that name; return what they have left, and how long it took."""
    folder = base / name
    corpus = halves(base / "corpus")
    folder.mkdir()
    summaries = prepare_rows(corpus, folder, "small", print, documents=rows)
    if summaries is None:
        raise SystemExit("the demo's third pipeline needs the model: make demo installs it")
    config = write_config(corpus, folder / "home", summaries, folder)
    words = [sys.executable, *through, "run", str(config), "--dashboard", "--json", "--quiet"]
    started = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    pipelines: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["pipelines"]
    counts = {
        pipeline: {count: totals[count] for count in COUNTS if count in totals}
        for pipeline, totals in pipelines.items()
    }
    with tenire.Store(folder / "home") as store:
        hits = [hit for query in QUERIES for hit in store.search(query, k=20, exact=True).hits]
    answered = [json.loads(line) for line in summaries.output.read_text(encoding="utf-8").splitlines()]
    if not all(line["output"].strip() for line in answered):
        raise SystemExit(f"a summary is empty: {answered}")
    outcome = Outcome(counts, sorted((hit.source, hit.text) for hit in hits), sorted(line["id"] for line in answered))
    return outcome, seconds


def attack(base: Path, names: tuple[str, ...], rows: int, calm: Outcome) -> list[str]:
    """Run the pipelines once more and kill components meanwhile; return those that fell when no task ran.

    Raises:
        SystemExit: If one did not come up again, or the run has left something else.
    """
    label = "-".join(names) if len(names) == 1 else "together"
    result = base / f"{label}.json"
    outcome, seconds = run(base, label, rows, (str(KILLER), str(result), ",".join(names)))
    told = json.loads(result.read_text(encoding="utf-8"))
    if others := set(told["supervised"]) ^ set(COMPONENTS):
        raise SystemExit(f"the engine's supervisor and COMPONENTS of kill_components.py differ in {sorted(others)}")
    for name in names:
        states = told["found"][name]
        if states[states.index("down") :][:2] != ["down", "up"]:
            raise SystemExit(f"{name} did not come up again: {states}")
        killed = f"killed with {told['running'][name]} task(s) running, down and up again"
        print(f"{name}: {killed}; the run took {seconds:.1f} s", flush=True)
    for what, expected, got in zip(Outcome._fields, calm, outcome, strict=True):
        if expected != got:
            raise SystemExit(f"{label}: other {what} than undisturbed:\n{expected}\n{got}")
    return [name for name in names if not told["running"][name]]


if __name__ == "__main__":
    raise SystemExit(main())
