"""How near the pipelines come to the shares that are their due, on virtual time.

Three to eight pipelines that always have work waiting, with drawn weights, durations and
needs, share a machine for some virtual minutes. Compared is each one's weighted dominant
share with the optimum for endlessly small tasks. ``fine`` tasks take up to a hundredth of
the machine; ``coarse`` ones up to a fifth, so that how they pack decides as well.
"""

from __future__ import annotations

import argparse
import random

from _common import report, spread
from _harness import Machine, Stream, due, fraction, has_rates

from tenire import Resources

CPU, MEMORY, TOKENS_PER_S = 64.0, 64 << 30, 100_000
KINDS = ("cpu", "memory", "mixed", "tokens") if has_rates() else ("cpu", "memory", "mixed")


def machine() -> Machine:
    # Saved up at most: what comes back in a second, more than any task needs at once.
    rates = {"tokens": (float(TOKENS_PER_S), TOKENS_PER_S)} if has_rates() else None
    return Machine(cpu=CPU, memory=MEMORY, rates=rates)


def draw(rng: random.Random, least: float, most: float, on: Machine) -> list[Stream]:
    """Draw three to eight pipelines whose tasks take ``least`` to ``most`` of what they need most."""
    streams = []
    for number in range(rng.randint(3, 8)):
        kind = rng.choice(KINDS)
        seconds = rng.uniform(0.3, 3.0)
        whole = rng.uniform(least, most)
        parts = dict.fromkeys(("cpu", "memory"), 0.0)
        if kind == "mixed":
            parts = {key: whole * rng.uniform(0.6, 1.0) for key in parts}
        else:
            # Some need nothing else at all: others' saturated resources must not stop them.
            parts = {key: whole * rng.uniform(0.05, 0.4) * (rng.random() < 0.7) for key in parts}
            parts[kind] = whole
        amounts = {
            key: fraction(on, part * (seconds if key in on.rates else 1), key) for key, part in parts.items() if part
        }
        needs = Resources(
            cpu=amounts.get("cpu", 0.0),
            memory=int(amounts.get("memory", 0)),
            other={"tokens": int(amounts["tokens"])} if "tokens" in amounts else {},
        )
        streams.append(Stream(f"{kind}-{number}", needs, seconds, float(rng.randint(1, 4))))
    return streams


def deviation(seed: int, least: float, most: float, seconds: float) -> tuple[float, float, float]:
    """Return the largest distance from the due share, the largest shortfall, and the longest gap."""
    on = machine()
    streams = draw(random.Random(seed), least, most, on)
    outcome = on.run(streams, seconds=seconds, warm_up=seconds / 4, seed=seed)
    optimum = due(on, streams)
    off = {name: outcome.shares[name] / optimum[name] - 1 for name in optimum}
    gaps = [outcome.gaps[stream.name] / stream.seconds for stream in streams]
    return max(map(abs, off.values())), max(-part for part in off.values()), max(gaps)


def measure(name: str, seeds: range, least: float, most: float, seconds: float) -> None:
    rows = [(*deviation(seed, least, most, seconds), seed) for seed in seeds]
    worst = max(rows)
    offs = [off for off, _, _, _ in rows]
    report(
        f"fairness_{name}",
        seeds=len(rows),
        kinds=KINDS,
        deviation={**spread(offs), "mean": round(sum(offs) / len(offs), 3)},
        within_5_percent=f"{sum(off <= 0.05 for off in offs)}/{len(offs)}",
        worst_seed=worst[3],
        shortfall=spread([short for _, short, _, _ in rows]),
        longest_gap_in_durations=spread([gap for _, _, gap, _ in rows], 1),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    measure("fine", seeds, 0.003, 0.01, 120.0)
    measure("coarse", seeds, 0.03, 0.2, 1200.0)


if __name__ == "__main__":
    main()
