from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "scripts" / "soak.py"


def test_growth_is_seen_between_the_second_fifth_and_the_last(script: Callable[[str], ModuleType]) -> None:
    soak = script("soak")
    flat = dict.fromkeys(soak.ALLOWED, 1000 << 20)
    # The first fifth is the warm-up, and one outlier is none.
    samples = [dict.fromkeys(flat, 0)] * 2 + [flat] * 5 + [dict.fromkeys(flat, 9000 << 20)] + [flat] * 2
    assert soak.growth(samples)[1] == []
    for name in flat:
        grown = {**flat, name: flat[name] * 12 // 10}
        assert [said.split()[0] for said in soak.growth([*samples[:8], grown, grown])[1]] == [name]


@pytest.mark.slow
def test_a_short_soak_finds_nothing_wrong() -> None:
    command = [sys.executable, str(SCRIPT), "--minutes", "0.15", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    report = json.loads(done.stdout.splitlines()[-1])
    # Whether something grows only shows after minutes: make soak.
    assert report["wrong"] == [], done.stderr
    assert report["tasks"] > 100
    assert sum(report["outcomes"].values()) >= report["tasks"]
