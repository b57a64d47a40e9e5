"""Whether the slowest stage of a run, the model, is kept busy: its throughput in a run against alone.

Alone means: the same passages, ready in memory, through the same embedder in a process of its own,
in slices as the run sends them. Both sides at the lowest priority, in turns. ``busy`` is the part of the
run, from its first call of the model to its end, in which the model had something to do.

    python benchmarks/saturation.py [--embedder minilm] [--bytes N] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import report, spread
from ingest import files

from tenire import Pipeline, run
from tenire.documents.prepare import PrepareOptions, prepare
from tenire.pipeline.files import FileSource
from tenire.protocols import Document, SourceFile

SLICE = 128
ALONE = "--alone"


def passages(folder: Path) -> list[str]:
    """Return the different passages of a folder, by length, as the model gets them."""
    found = [file for file in FileSource((str(folder),), folder).walk() if isinstance(file, SourceFile)]
    documents = [each for each in prepare(found, PrepareOptions(), {}) if isinstance(each, Document)]
    return sorted({passage.text for document in documents for passage in document.passages}, key=len)


def alone(folder: Path, embedder: str) -> None:
    """Embed the passages of a folder and print their number and the seconds that it took, the model loaded."""
    from tenire.vectors import load_embedder

    texts = passages(folder)
    model = load_embedder(embedder)
    model.embed(texts[:SLICE])
    started = time.perf_counter()
    for start in range(0, len(texts), SLICE):
        model.embed(texts[start : start + SLICE])
    sys.stdout.write(f"{len(texts)} {time.perf_counter() - started}\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--bytes", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(ALONE, type=Path)
    options = parser.parse_args()
    if options.alone is not None:
        alone(options.alone, options.embedder)
        return
    os.nice(19)
    ratios, busy = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder, home = Path(temporary) / "files", Path(temporary) / "home"
        files(folder, options.bytes)
        for _ in range(options.rounds):
            words = [sys.executable, __file__, ALONE, str(folder), "--embedder", options.embedder]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            number, seconds = done.stdout.split()
            result = run(Pipeline("saturation", source=folder, embedder=options.embedder), home=home)
            progress = result.pipelines["saturation"]
            embed = next(stage for stage in progress.stages if stage.name == "embed")
            working = progress.seconds - embed.since_s
            ratios.append(embed.done / working / (int(number) / float(seconds)))
            busy.append(embed.busy_s / working)
            shutil.rmtree(home)
    report("saturation", embedder=options.embedder, passages=int(number), ratio=spread(ratios), busy=spread(busy))


if __name__ == "__main__":
    main()
