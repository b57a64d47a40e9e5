"""Two pipelines at once against each alone: what running side by side costs.

The bound is the longer of (CPU work of both / cores) and the slower one alone.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from _common import Usage, cores, real_files, report, spread, tenire

CONFIG = """
[tenire]
home = "{home}"

[pipelines.one]
source = "{one}"
embedder = "{embedder}"

[pipelines.two]
source = "{two}"
embedder = "{embedder}"
weight = 2
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--bytes", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as temporary:
            base = Path(temporary)
            real_files(base / "one", size=options.bytes, seed=number)
            real_files(base / "two", size=options.bytes, seed=number, skip=options.bytes)
            used = []
            for name, only in (("a", ["one"]), ("b", ["two"]), ("ab", [])):
                config = base / f"{name}.toml"
                text = CONFIG.format(
                    home=base / f"home-{name}", one=base / "one", two=base / "two", embedder=options.embedder
                )
                config.write_text(text)
                with Usage() as usage:
                    tenire("run", str(config), *(word for pipeline in only for word in ("--only", pipeline)))
                used.append(usage)
            one, two, both = used
            bound = max((one.cpu + two.cpu) / cores(), one.wall, two.wall)
            rounds.append((both.wall / bound, both.wall, one.wall, two.wall, one.cpu + two.cpu, both.cpu))
    ratio, both_s, one_s, two_s, cpu_s, both_cpu_s = (spread(list(column), 2) for column in zip(*rounds, strict=True))
    report(
        "side_by_side",
        embedder=options.embedder,
        cores=cores(),
        ratio=ratio,
        both_s=both_s,
        alone_s=[one_s, two_s],
        cpu_alone_s=cpu_s,
        cpu_both_s=both_cpu_s,
    )


if __name__ == "__main__":
    main()
