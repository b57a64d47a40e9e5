from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "batches_once.py"


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_run_that_is_killed_twice_while_it_waits_for_batches_hands_over_nothing_twice(dialect: str) -> None:
    # The proof with many kills is the script itself: make prove.
    command = [sys.executable, str(SCRIPT), "--kills", "2", "--rows", "120", "--batch-seconds", "4"]
    command += ["--dialect", dialect]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "120 answers to 120 rows, 0 paid twice" in done.stdout
