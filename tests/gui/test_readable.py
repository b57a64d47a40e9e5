from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tenire.gui.binding import QtGui

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("scale", "letters"), [(1.25, 1.25), (1.5, 1.5), (2.0, 1.0), (1.0, 2.0)])
def test_all_of_the_window_can_be_read_at_any_scale_and_with_large_letters(
    tmp_path: Path, scale: float, letters: float
) -> None:
    picture = tmp_path / "window.png"
    done = subprocess.run(
        [sys.executable, "-m", "tests.gui.readable", str(letters), str(picture)],
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen", "QT_SCALE_FACTOR": str(scale)},
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == []
    assert QtGui.QImage(str(picture)).width() > 900 * scale
