"""Spend quotas for hours of virtual time against servers that count in four ways.

    make prove                                     with the other proofs
    python scripts/quota_proof.py --seconds 2000   a short one

It fails if a server refuses a call, if less of a limit is used than promised, or if a
waiting call is overtaken too often. The last line of the output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIZES = [1000, 2000, 4000, 8000]
CASES = [
    ("60 calls", 60, [1], 0.985),
    ("500 calls", 500, [1], 0.985),
    ("200,000 tokens, calls of 1,000 to 8,000", 200_000, SIZES, 0.985),
    ("200,000 tokens, calls of 300 to 8,000", 200_000, list(range(300, 8001, 37)), 0.98),
    ("30,000 tokens, calls of 1,000 to 8,000", 30_000, SIZES, 0.97),
]
QUANTA = [1.0, 3.0, 10.0]
FOUND_S = 300.0
"""Seconds in which a server that counts by the second is to be found out."""


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=12_000.0, help="virtual seconds for each")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
    from tests.simulation.quota_world import SERVERS, Client, QuotaWorld

    from tenire.core.overtaking import MOST

    failed = False
    found = []
    for name, limit, sizes, least in CASES:
        for server in SERVERS:
            for seed in range(options.seeds):
                world = QuotaWorld(server=server, limit=limit, clients=[Client("bulk", sizes)], seed=seed)
                outcome = world.run(options.seconds)
                share = world.share(options.seconds)
                bad = outcome.refused > 0 or share < least or outcome.passed > MOST
                failed |= bad
                found.append([name, server, seed, round(share, 4), outcome.refused, outcome.passed])
                print(
                    f"{name}, {server} server, jitter {world.jitter} s: {share:.2%} used (at least {least:.1%}), "
                    f"{outcome.refused} refused, overtaken at most {outcome.passed} times{'  FAILED' if bad else ''}",
                    flush=True,
                )
    for quantum in QUANTA:
        world = QuotaWorld(server="quantised", limit=600, clients=[Client("bulk", [1])], quantum=quantum)
        outcome = world.run(options.seconds, count_from=FOUND_S)
        share = world.share(options.seconds - FOUND_S)
        late = sum(at > FOUND_S for at in outcome.refusals)
        least = 0.97 * quantum / (quantum + world.jitter)
        bad = late > 0 or share < least
        failed |= bad
        found.append(["600 calls", "quantised", quantum, round(share, 4), outcome.refused, late])
        print(
            f"600 calls, enforced by {quantum:g} s: {share:.2%} used (at least {least:.1%}), {outcome.refused} refused "
            f"until that was found out, {late} after{'  FAILED' if bad else ''}",
            flush=True,
        )
    print(json.dumps({"ok": not failed, "cases": found}))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
