"""How much of the memory is in use when tasks of very different sizes share it fairly, on virtual time.

Eight CPU slots, 32 GiB and 100 tokens a second; a pipeline of calls to a model, one that
computes, and one with twice the weight whose tasks take six GiB each. Whoever fills the
memory best starves the big ones; whoever waits for the big ones leaves memory idle.
"""

from __future__ import annotations

import argparse

from _common import report, spread
from _harness import Machine, Stream, due, has_rates

from tenire import Resources

GIB = 1 << 30
TOKENS = 100


def machine() -> Machine:
    # Without rates a stand-in: tokens that a call holds for the second that it takes.
    if has_rates():
        return Machine(cpu=8, memory=32 * GIB, rates={"tokens": (float(TOKENS), 40)})
    return Machine(cpu=8, memory=32 * GIB, slots={"tokens": TOKENS})


def streams() -> list[Stream]:
    return [
        Stream("llm", Resources(cpu=0.1, memory=GIB // 2, other={"tokens": 20})),
        Stream("cpu", Resources(cpu=1, memory=GIB)),
        Stream("mem", Resources(cpu=0.5, memory=6 * GIB, other={"tokens": 1}), seconds=2.0, weight=2.0),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1200.0)
    options = parser.parse_args()
    outcomes = []
    for seed in range(options.seeds):
        on = machine()
        outcomes.append(on.run(streams(), seconds=options.seconds, warm_up=30.0, seed=seed))
    report(
        "packing",
        seeds=options.seeds,
        virtual_s=options.seconds,
        tokens="rate" if has_rates() else "held",
        memory_used=spread([outcome.used["memory"] for outcome in outcomes]),
        cpu_used=spread([outcome.used["cpu"] for outcome in outcomes]),
        shares_apart=spread([max(o.shares.values()) / min(o.shares.values()) - 1 for o in outcomes]),
        shares={name: spread([outcome.shares[name] for outcome in outcomes]) for name in outcomes[0].shares},
        due={name: round(share, 3) for name, share in due(machine(), streams()).items()},
        longest_gap_s={name: spread([outcome.gaps[name] for outcome in outcomes], 1) for name in outcomes[0].gaps},
    )


if __name__ == "__main__":
    main()
