from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from scripts.postgres_cluster import unavailable

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_proof.py"


@pytest.mark.slow
@pytest.mark.parametrize("store", ["", "--server"])
def test_an_engine_killed_three_times_ends_with_what_an_undisturbed_one_gives(store: str) -> None:
    if store and unavailable():
        pytest.skip(unavailable())
    # The proof with many kills is the script itself: make prove.
    command = [sys.executable, str(SCRIPT), "--kills", "3", "--files", "40", *store.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("killed after") == 3
    assert "equal top 5" in done.stdout
