"""Every supervised component of an engine is killed while the demo's pipelines run: the run completes equal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "component_proof.py"
COMPONENTS = {
    "watchdog", "control", "orchestrator", "history", "compactor", "channel", "publisher", "thread_pool", "events",
    "dashboard",
}  # fmt: skip


@pytest.mark.slow
def test_each_component_is_killed_while_the_demo_s_pipelines_run_and_the_run_completes_equal() -> None:
    # The proof with a run for each of them is the script itself: make prove-components.
    command = [sys.executable, str(SCRIPT), "--together", "--files", "12", "--rows", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    told = {line.partition(":")[0] for line in done.stdout.splitlines() if "down and up again" in line}
    assert told == COMPONENTS
    assert "of 10 component(s) killed while tasks of the pipelines ran: equal counts, passages and rows" in done.stdout
