"""All of the above with PyQt6, where somebody has installed it: its licence is the GPL, so nothing here does."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOMS = ("engine", "slots", "loop", "frames", "records", "differences", "process")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("PyQt6") is None, reason="PyQt6 is not installed")
def test_an_application_of_pyqt6_is_served_like_one_of_pyside6() -> None:
    here, environment = Path(__file__).parent, os.environ | {"QT_API": "pyqt6", "QT_QPA_PLATFORM": "offscreen"}
    which = [sys.executable, "-c", "from tenire.gui.binding import BINDING; print(BINDING)"]
    assert subprocess.check_output(which, env=environment, text=True).strip() == "PyQt6"
    files = [str(here / f"test_{room}.py") for room in ROOMS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        env=environment, cwd=here.parents[1], capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4_000:]
