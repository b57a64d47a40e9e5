"""Canaries: every planted bug is seen by the tests that are there to see it."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("mutants.py")
MUTANTS: dict[str, tuple[str, str, str, str]] = runpy.run_path(str(SCRIPT))["MUTANTS"]


@pytest.fixture(scope="module")
def verdicts() -> dict[str, tuple[int, str]]:
    """Exit code and output of the tests of each mutant."""
    ran = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False, timeout=1500)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found: dict[str, tuple[int, str]] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("rule", MUTANTS)
def test_a_planted_bug_is_seen(verdicts: dict[str, tuple[int, str]], rule: str) -> None:
    code, output = verdicts[rule]
    assert code == 1, f"exit code {code} of {MUTANTS[rule][3]}: {output}"
    assert " failed" in output
    assert " error" not in output.splitlines()[-1]
