from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tenire import ConcurrencyManager, ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_submit_refuses_it_before_anything_starts() -> None:
    with ConcurrencyManager.in_thread(cpu=1, memory=1 << 20) as manager:
        with pytest.raises(ConfigError, match="a lambda"):
            manager.submit(lambda: None, on="process")
        assert manager.snapshot().queued == manager.snapshot().running == 0
        assert manager.submit(lambda: 3, on="thread").result(10) == 3
        assert manager.snapshot().pools.processes == {}


def test_a_command_line_program_is_told_so_at_once(tmp_path: Path) -> None:
    program = (
        "import tenire\n"
        "def work(): return 1\n"
        "with tenire.ConcurrencyManager.in_thread(cpu=1) as manager:\n"
        "    manager.submit(work, on='process')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "the function __main__.work cannot be sent to a worker process" in done.stderr
