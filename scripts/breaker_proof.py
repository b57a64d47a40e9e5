"""Drives circuit breakers through random steps next to a model, and callers against half-open ones.

    python scripts/breaker_proof.py [--steps 1000000] [--callers 1000] [--seed 1]

Each run of 10,000 steps is a breaker of its own, with its own settings, clock and
failures; what it does must be what ``tests/core/breaker_model.py`` says, step by step.
Then so many coroutines ask half-open breakers for calls at the same time, once directly
and once through guards that wait, try again and are cancelled: those that are let in at one
time are counted where the call happens, and must never be more than the permits.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import runpy
import time
from pathlib import Path
from typing import Any

from tenire.core.breaker import CircuitBreaker
from tenire.core.tasks import Retry
from tenire.resilience import Guard
from tenire.testing import run

MODEL = Path(__file__).resolve().parent.parent / "tests" / "core" / "breaker_model.py"
STEPS_EACH = 10_000


def steps(total: int, seed: int) -> None:
    """Take random steps, and print what happened in them."""
    random_steps: Any = runpy.run_path(str(MODEL))["random_steps"]
    started = time.perf_counter()
    admitted = refused = done = 0
    ways: dict[tuple[str, str], int] = {}
    while done < total:
        number = min(STEPS_EACH, total - done)
        model = random_steps(number, seed + done // STEPS_EACH)
        done += number
        admitted, refused = admitted + model.admitted, refused + model.refused
        for way in model.seen:
            ways[way] = ways.get(way, 0) + 1
    if ("open", "closed") in ways:
        raise SystemExit("error: a breaker went from open to closed")
    seconds = time.perf_counter() - started
    print(f"{done} steps, {admitted} calls admitted, {refused} refused, no violation ({seconds:.0f} s)")
    for (before, after), runs in sorted(ways.items()):
        print(f"  {before} -> {after}: in {runs} of {-(-total // STEPS_EACH)} runs")


async def callers(number: int, seed: int) -> None:
    """Let many call a half-open breaker at the same time; exit if too many are let in."""
    rng = random.Random(seed)
    for permits in (1, 3, 10, 100):
        breaker = CircuitBreaker(minimum_calls=1, half_open_permits=permits, open_for=1.0)
        opening = breaker.acquire(0.0)
        assert opening is not None
        breaker.release(opening, 0.0, "failure")
        inside = most = total = 0

        async def call(breaker: CircuitBreaker = breaker, permits: int = permits) -> None:
            nonlocal inside, most, total
            for _ in range(20):
                permit = breaker.acquire(1.0)
                if permit is not None:
                    inside, total = inside + 1, total + 1
                    most = max(most, inside)
                    for _ in range(rng.randrange(3)):
                        await asyncio.sleep(0)
                    inside -= 1
                    # Never enough successes to close it: it stays half-open for all of them.
                    breaker.release(permit, 1.0, "cancelled")
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(call())
        if breaker.state != "half_open" or most != permits:
            raise SystemExit(f"error: {most} calls at a time with {permits} permits, state {breaker.state}")
        print(f"{number} callers at half-open with {permits} permits: {total} calls, at most {most} at a time")


async def guarded_callers(number: int, seed: int) -> None:
    """Let many wait behind a circuit that goes half-open again and again; exit if too many are let in."""
    rng = random.Random(seed)
    for permits in (1, 3, 10, 100):
        breaker = CircuitBreaker(minimum_calls=1, failure_ratio=1e-9, half_open_permits=permits, open_for=1.0, rng=rng)
        guard = Guard(breaker=breaker, retry=Retry(attempts=3, backoff=0.5), budget=False, rng=rng)
        inside: dict[str, int] = {"half_open": 0, "closed": 0, "open": 0}
        most = total = 0

        async def call(breaker: CircuitBreaker = breaker, inside: dict[str, int] = inside) -> None:
            nonlocal most, total
            state = breaker.state
            inside[state] += 1
            total += 1
            if state == "half_open":
                most = max(most, inside[state])
            try:
                await asyncio.sleep(rng.random())
                if rng.random() < 0.3:
                    raise ConnectionError
            finally:
                if breaker.state == state:
                    inside[state] -= 1
                else:  # what was admitted before counts no more
                    inside.update(half_open=0, closed=0, open=0)

        tasks = [asyncio.create_task(guard.call(call)) for _ in range(number)]
        for task in tasks:
            if rng.random() < 0.2:
                asyncio.get_running_loop().call_later(rng.uniform(0, 200), task.cancel)
        await asyncio.wait(tasks)
        failed = sum(not task.cancelled() and task.exception() is not None for task in tasks)
        breaker.check()
        if most != permits or guard.statistics().waiting:
            raise SystemExit(f"error: {most} calls at a time with {permits} permits, {guard.statistics()}")
        print(f"{number} guarded callers, {permits} permits: {total} calls, {failed} gave up, at most {most} half-open")


def main() -> None:
    """Run all three."""
    parser = argparse.ArgumentParser(description="Drive circuit breakers next to a model.")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--callers", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    steps(options.steps, options.seed)
    asyncio.run(callers(options.callers, options.seed))
    run(guarded_callers(options.callers, options.seed))


if __name__ == "__main__":
    main()
