"""Whether more documents take more memory: twice as many, or as often as ``--times`` says."""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import threading
from pathlib import Path

import psutil
from _common import ingest, real_files, report

_EVERY_S = 0.02


def varied(folder: Path, *, size: int, times: int) -> None:
    """Fill a folder with so many times the same real files, each time with other names in nearly every passage.

    This Python's own sources are too few for ten times six megabytes of them.
    """
    real_files(folder / "0", size=size)
    for number in range(1, times):
        for file in (folder / "0").rglob("*.py"):
            target = folder / str(number) / file.relative_to(folder / "0")
            target.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_text("utf-8", "replace")
            target.write_text(re.sub(r"\b(self|the|in)\b", rf"\g<1>{number}", text), "utf-8")


class Looking:
    """Looks at the memory of all processes below this one while the block runs, as often as a run itself does not.

    A run looks at its own twice a second, and what a short one takes for a tenth of that it may miss.
    """

    def __enter__(self) -> Looking:
        self.peak_mib, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_EVERY_S):
            total = 0
            for process in psutil.Process(os.getpid()).children(recursive=True):
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue  # it ended in between
            self.peak_mib = max(self.peak_mib, round(total / 2**20, 1))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--bytes", type=int, default=6_000_000)
    parser.add_argument("--times", type=int, default=2)
    options = parser.parse_args()
    peaks, seen, chunks = {}, {}, {}
    with tempfile.TemporaryDirectory() as temporary:
        for times in (1, options.times):
            folder, home = Path(temporary) / f"files{times}", Path(temporary) / f"home{times}"
            varied(folder, size=options.bytes, times=times)
            with Looking() as looking:
                totals = ingest(folder, home, options.embedder)
            peaks[times], seen[times] = totals["peak_rss_mib"], looking.peak_mib
            chunks[times] = totals["pipelines"]["ingest"]["chunks"]
    report(
        "memory",
        embedder=options.embedder,
        chunks=list(chunks.values()),
        peak_mib=list(peaks.values()),
        growth=round(peaks[options.times] / peaks[1] - 1, 3),
        seen_peak_mib=list(seen.values()),
        seen_growth=round(seen[options.times] / seen[1] - 1, 3),
    )


if __name__ == "__main__":
    main()
