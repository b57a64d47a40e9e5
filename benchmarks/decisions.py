"""Microseconds of the core for each task that starts while 10,000 wait in 16 pipelines.

Steady state: one task ends, the core decides, and for each that left the queue one like it is submitted.
``plain``: all tasks alike. ``classes``: five classes, half of the tasks need CPU, half CPU and
memory. ``deadlines``: five classes, three kinds of needs in sixty sizes, a third with a
deadline. ``decide_us`` is the decision alone, ``cycle_us`` all three steps.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import deque

from _common import report, spread

from tenire import Priority, Resources
from tenire.core.admission import Admission
from tenire.core.scheduler import Scheduler
from tenire.core.tasks import State, Task

QUEUED = 10_000
PIPELINES = 16
SLOTS = 16
MIB = 1 << 20
STEP_S = 0.001
"""Virtual time from one end to the next."""
SPAN_S = (5.0, 60.0)
"""From when to when the deadlines are, counted from the submission."""
MIXES = ("plain", "classes", "deadlines")


def sizes(mix: str, rng: random.Random) -> list[Resources]:
    """Return the needs that the tasks of a mix have."""
    if mix == "plain":
        return [Resources(cpu=1)]
    if mix == "classes":
        return [Resources(cpu=1), Resources(cpu=1, memory=256 * MIB)]
    return [
        *(Resources(cpu=rng.uniform(0.5, 2)) for _ in range(20)),
        *(Resources(memory=rng.randint(64, 512) * MIB) for _ in range(20)),
        *(Resources(cpu=rng.uniform(0.5, 2), memory=rng.randint(64, 512) * MIB) for _ in range(20)),
    ]


class Bench:
    """A scheduler with a full queue of one mix of tasks."""

    def __init__(self, mix: str, pipelines: int) -> None:
        self.mix = mix
        self.rng = random.Random(0)
        self.scheduler = Scheduler(Admission(cpu=SLOTS, memory=4096 * MIB, threads=1, processes=1))
        self.pipelines = [self.scheduler.shares.pipeline(f"p{number}") for number in range(pipelines)]
        for number, pipeline in enumerate(self.pipelines):
            pipeline.configure(weight=1 + number % 4)
        self.needs = [self.scheduler.needs(each, task="sized") for each in sizes(mix, self.rng)]
        self.now = 0.0
        self.running: deque[Task] = deque()
        for _ in range(QUEUED):
            self.scheduler.submit(self.make(), self.now, ())
        self.running.extend(self.scheduler.decide(self.now, 256))

    def make(self) -> Task:
        """Make up a task of this mix."""
        rng = self.rng
        priority = Priority.NORMAL if self.mix == "plain" else Priority(rng.randrange(5))
        due = self.now + rng.uniform(*SPAN_S) if self.mix == "deadlines" and rng.random() < 1 / 3 else None
        return Task(rng.choice(self.pipelines), "task", priority, rng.choice(self.needs), due)

    def block(self, cycles: int) -> tuple[float, float]:
        """Return the microseconds of the decisions and of everything, for each task started."""
        scheduler, running, clock, now = self.scheduler, self.running, time.perf_counter, self.now
        spans = [self.rng.uniform(*SPAN_S) for _ in range(1000)]
        deciding = 0.0
        starts = 0
        began, used = clock(), time.process_time()
        for _ in range(cycles):
            now += STEP_S
            scheduler.finish(running.popleft(), now, State.DONE)
            before = clock()
            tasks = scheduler.decide(now, 256)
            deciding += clock() - before
            starts += len(tasks)
            running.extend(tasks)
            if scheduler.doomed:
                tasks = tasks + [doom.task for doom in scheduler.doomed]
                scheduler.doomed.clear()
            # The next one is like the one that left, or the urgent ones would soon be used
            # up and the queue would hold one class only.
            for left in tasks:
                due = None if left.deadline is None else now + spans[left.seq % 1000]
                scheduler.submit(Task(left.pipeline, "task", left.priority, left.needs, due), now, ())
        used, elapsed = time.process_time() - used, clock() - began
        self.now = now
        # The clock that leaves out other programs is too slow to be read twice a decision.
        return used * deciding / elapsed / starts * 1e6, used / starts * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cycles", type=int, default=3000)
    options = parser.parse_args()
    # One pipeline beside the sixteen: how much each further one costs.
    benches = {(mix, count): Bench(mix, count) for mix in MIXES for count in (PIPELINES, 1)}
    rounds: dict[tuple[str, int], list[tuple[float, float]]] = {key: [] for key in benches}
    for _ in range(options.rounds):
        for key, bench in benches.items():
            rounds[key].append(bench.block(options.cycles))
    for bench in benches.values():
        bench.scheduler.check(bench.running)
        assert abs(bench.scheduler.queued - QUEUED) < QUEUED * 0.05, bench.scheduler.queued
    report(
        "decisions",
        queued=QUEUED,
        pipelines=PIPELINES,
        decide_us={mix: spread([decide for decide, _ in rounds[mix, PIPELINES]], 1) for mix in MIXES},
        cycle_us={mix: spread([cycle for _, cycle in rounds[mix, PIPELINES]], 1) for mix in MIXES},
        one_pipeline_decide_us={mix: spread([decide for decide, _ in rounds[mix, 1]], 1) for mix in MIXES},
    )


if __name__ == "__main__":
    main()
