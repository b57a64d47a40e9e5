"""Whether more documents take more memory: twice as many, or as often as ``--times`` says."""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from _common import ingest, real_files, report


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--bytes", type=int, default=6_000_000)
    parser.add_argument("--times", type=int, default=2)
    options = parser.parse_args()
    peaks = {}
    chunks = {}
    with tempfile.TemporaryDirectory() as temporary:
        for times in (1, options.times):
            folder, home = Path(temporary) / f"files{times}", Path(temporary) / f"home{times}"
            varied(folder, size=options.bytes, times=times)
            totals = ingest(folder, home, options.embedder)
            peaks[times] = totals["peak_rss_mib"]
            chunks[times] = totals["pipelines"]["ingest"]["chunks"]
    report(
        "memory",
        embedder=options.embedder,
        chunks=list(chunks.values()),
        peak_mib=list(peaks.values()),
        growth=round(peaks[options.times] / peaks[1] - 1, 3),
    )


if __name__ == "__main__":
    main()
