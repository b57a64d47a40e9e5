"""Bad days of a whole engine; ``make simulate`` tries a thousand of each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.simulation.scenarios import SCENARIOS, play

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 50


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_bad_day_ends_well(name: str) -> None:
    digests = {play(name, seed) for seed in range(SEEDS)}
    assert len(digests) > SEEDS // 2, "the seeds must make a difference"


def test_equal_seeds_give_equal_days_in_another_process() -> None:
    script = "from tests.simulation.scenarios import SCENARIOS, play; print(*(play(name, 7) for name in SCENARIOS))"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert ran.stdout.split() == [play(name, 7) for name in SCENARIOS]
