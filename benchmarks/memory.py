"""Whether more documents take more memory: twice as many, or as often as ``--times`` says."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from _common import ingest, real_files, report


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
            real_files(folder, size=times * options.bytes)
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
