"""Play bad days of a whole engine in virtual time, a thousand of each kind.

    make simulate                                  all of them
    make simulate ARGS="threads_hang --seeds 50"   one kind
    make simulate ARGS="threads_hang --seed 4711"  one day, to find out what went wrong

The last line of the output is one JSON object. The exit status says whether all ended well.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
CHUNK = 25
SHOWN = 3


def prepare() -> None:
    """Make the scenarios importable, and take every warning for an error."""
    sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
    warnings.simplefilter("error")
    logging.disable(logging.CRITICAL)  # what goes wrong there is meant to


def play_all(name: str, seeds: Sequence[int]) -> list[tuple[int, str]]:
    """Play one kind of day; return the seeds of those that ended badly, with their errors."""
    from tests.simulation.scenarios import play

    failures = []
    for seed in seeds:
        try:
            play(name, seed)
        except Exception:  # noqa: BLE001 - told below, with its seed
            failures.append((seed, traceback.format_exc()))
    return failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    prepare()
    from tests.simulation.scenarios import SCENARIOS

    parser = argparse.ArgumentParser(description="Bad days of a whole engine, in virtual time.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"default: all of {', '.join(SCENARIOS)}")
    parser.add_argument("--seeds", type=int, default=1000, help="how many of each")
    parser.add_argument("--seed", type=int, help="only this one")
    args = parser.parse_args(arguments)
    unknown = sorted(set(args.scenarios) - set(SCENARIOS))
    if unknown:
        parser.error(f"there is no scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    seeds = range(args.seeds) if args.seed is None else [args.seed]
    began = time.monotonic()
    failed: dict[str, int] = {}
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=prepare) as pool:
        for name in args.scenarios or SCENARIOS:
            chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
            failures = [failure for found in pool.map(play_all, [name] * len(chunks), chunks) for failure in found]
            print(f"{name}: {len(seeds) - len(failures)} of {len(seeds)} ended well", flush=True)
            if failures:
                failed[name] = len(failures)
            for seed, error in failures[:SHOWN]:
                print(f"{error}\n{name}, seed {seed}\n", flush=True)
    kinds = len(args.scenarios or SCENARIOS)
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"scenarios": kinds, "days": kinds * len(seeds), "failed": failed, "seconds": seconds}))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
