from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "paid_once.py"


@pytest.mark.slow
def test_a_chat_run_that_is_killed_twice_pays_for_no_finished_reply_again() -> None:
    # The proof with many kills is the script itself: make prove.
    command = [sys.executable, str(SCRIPT), "--kills", "2", "--rows", "400", "--latency", "constant:0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "after 2 kills, 0 of them had been finished" in done.stdout
    assert "server: sliding, window 60 s, latency constant:0.1, limits {'requests': 12000, " in done.stdout
