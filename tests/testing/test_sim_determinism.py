from __future__ import annotations

import asyncio
import functools
import gc
import os
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tenire
from tenire.testing import SimLoop, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SCENARIO = Path(__file__).with_name("sim_scenario.py")
trace_of = runpy.run_path(str(SCENARIO))["trace_of"]


def test_equal_seeds_give_equal_traces_a_thousand_times() -> None:
    assert len({trace_of(7)[1] for _ in range(1000)}) == 1


def test_other_seeds_give_other_traces() -> None:
    assert len({trace_of(seed)[1] for seed in range(50)}) == 50


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_another_process_gives_the_same_trace(hash_seed: str) -> None:
    source = str(Path(next(iter(tenire.__path__))).parent)
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": source}
    command = [sys.executable, str(SCENARIO), "7"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == trace_of(7)[1]


def test_a_trace_does_not_depend_on_garbage_of_the_process() -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0.1)

    async def main() -> None:
        for _ in range(50):
            # A cycle: only the collector finds it, and closing it takes steps of the loop.
            cycle: list[Any] = [numbers()]
            cycle.append(cycle)
            await anext(cycle[0])
            await asyncio.sleep(1)

    def trace_with(threshold: int) -> str:
        thresholds = gc.get_threshold()
        gc.set_threshold(threshold)
        try:
            with SimLoop(3) as loop:
                loop.run_until_complete(main())
                return loop.trace_hash()
        finally:
            gc.set_threshold(*thresholds)

    assert trace_with(1) == trace_with(100_000)
    assert gc.isenabled()


def test_call_soon_is_first_in_first_out_under_every_seed() -> None:
    for seed in range(20):
        order: list[int] = []

        async def main(order: list[int] = order) -> None:
            for number in range(20):
                asyncio.get_running_loop().call_soon(order.append, number)
            await asyncio.sleep(0)

        run(main, seed=seed)
        assert order == list(range(20))


def test_the_seed_chooses_among_equal_timers_and_every_order_comes_up() -> None:
    seen: Counter[str] = Counter()
    for seed in range(600):
        order: list[str] = []

        async def main(order: list[str] = order) -> None:
            loop = asyncio.get_running_loop()
            for name in "abc":
                loop.call_later(1, order.append, name)
            await asyncio.sleep(2)

        run(main, seed=seed)
        seen["".join(order)] += 1
    assert len(seen) == 6
    # 600 draws of 6 orders: 100 each, standard deviation 9.
    assert min(seen.values()) > 60


def test_a_fake_operation_competes_with_a_timer_of_the_same_moment() -> None:
    firsts = set()
    for seed in range(30):
        order: list[str] = []
        with SimLoop(seed) as loop:
            loop.call_later(1, order.append, "timer")
            loop.call_at_ns(10**9, functools.partial(order.append, "operation"))
            loop.run_until_complete(asyncio.sleep(2))
        firsts.add(order[0])
    assert firsts == {"timer", "operation"}
