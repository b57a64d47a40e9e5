"""The scheduler under random programs that hold, ask for more and wait for each other.

A failing seed is printed. ``TENIRE_SIM_SEED=4711`` replays it alone, and
``TENIRE_SIM_SEEDS=100000`` tries more of them:

    TENIRE_SIM_SEEDS=100000 make test ARGS=tests/simulation
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.simulation.workloads import some_world

SEEDS = int(os.environ.get("TENIRE_SIM_SEEDS", "1500"))
ONLY = os.environ.get("TENIRE_SIM_SEED")
BATCHES = 10
ROOT = Path(__file__).resolve().parents[2]


def seeds(batch: int, number: int = SEEDS) -> list[int]:
    return [int(ONLY)] if ONLY else list(range(batch, number, BATCHES))


def replay(seed: int) -> str:
    return f"TENIRE_SIM_SEED={seed} replays this world"


@pytest.mark.parametrize("batch", range(1 if ONLY else BATCHES))
def test_whatever_comes_from_outside_every_task_starts_once_and_ends_once(batch: int) -> None:
    for seed in seeds(batch):
        world = some_world(random.Random(seed))
        try:
            world.run()
        except Exception as error:
            error.add_note(replay(seed))
            raise


@pytest.mark.parametrize("batch", range(1 if ONLY else BATCHES))
def test_nothing_waits_longer_than_all_that_there_is_to_do(batch: int) -> None:
    for seed in seeds(batch):
        world = some_world(random.Random(seed), disturbed=False)
        try:
            world.run()
            assert world.longest_wait <= world.bound
        except Exception as error:
            error.add_note(replay(seed))
            raise


def digests(number: int) -> str:
    found = []
    for seed in range(number):
        world = some_world(random.Random(seed))
        world.run()
        found.append(world.digest())
    return " ".join(found)


def test_equal_seeds_give_equal_traces_in_another_process_too() -> None:
    here = digests(60)
    assert here == digests(60)
    assert len(set(here.split())) == 60
    ran = subprocess.run(
        [sys.executable, "-c", "from tests.simulation.test_core_simulation import digests; print(digests(60))"],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    assert ran.stdout.strip() == here


def test_the_worlds_are_full_of_what_could_close_a_circle() -> None:
    refused = 0
    for seed in range(100):
        world = some_world(random.Random(seed))
        world.run()
        refused += world.refused
    assert refused > 100, "or the simulation proves nothing"
