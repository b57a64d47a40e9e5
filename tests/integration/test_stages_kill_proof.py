from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "stages_kill_proof.py"


@pytest.mark.slow
def test_pipelines_of_stages_that_are_killed_end_with_what_undisturbed_ones_give() -> None:
    # The proof with many kills is the script itself: make prove.
    command = [sys.executable, str(SCRIPT), "--kills", "2", "--items", "400"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("2 kills in") == 3
