"""Window and engine survive each other: real processes, killed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tenire.gui.binding import QtCore, QtWidgets
from tenire.gui.qt.frames import Frames
from tenire.gui.window.feeding import FeedThread
from tenire.gui.window.theme import LIGHT
from tenire.gui.window.window import MonitorWindow

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.app.feed import View

    from .conftest import Until

ENGINE = """
import sys
import threading
import tenire

@tenire.stage(on="thread", batch=1)
def wait(items):
    threading.Event().wait(0.05)
    return items

if __name__ == "__main__":
    tenire.run(
        tenire.Pipeline("slow", source=[{"id": n} for n in range(100_000)], stages=[wait], sink="out.jsonl"),
        tenire.Pipeline("then", source=[{"id": 0}], stages=[wait], sink="then.jsonl", after=["slow"]),
        home=sys.argv[1],
    )
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills as on POSIX")
def test_a_window_shows_that_its_engine_was_killed_and_attaches_to_the_next_one(
    tmp_path: Path, until: Until, application: QtWidgets.QApplication
) -> None:
    script, home = tmp_path / "engine.py", tmp_path / "home"
    script.write_text(ENGINE, encoding="utf-8")

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(script), str(home)], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    frames = Frames()
    seen: list[View] = []

    def show(view: View) -> None:
        seen.append(view)
        window.show_view(view)

    feed = FeedThread(home, lambda view: frames.put("view", show, view))
    window = MonitorWindow(home, feed, LIGHT)
    window.setAttribute(QtCore.Qt.WidgetAttribute.WA_QuitOnClose, False)
    window.show()
    feed.start()
    engine = start()
    try:
        until(lambda: seen and seen[-1].attached and "slow" in seen[-1].pipelines)
        engine.kill()
        engine.wait()
        until(lambda: seen[-1].link == "gone")
        # At whatever moment it was killed: the second had not begun in any case.
        until(lambda: row_states(window) == ["interrupted", "interrupted"])
        engine = start()
        until(lambda: seen[-1].attached and seen[-1].engine is not None and seen[-1].engine.pid == engine.pid)
        until(lambda: row_states(window) == ["running", "waiting"])
    finally:
        feed.stop()
        engine.kill()
        engine.wait()
        frames.close()
        window.deleteLater()


def row_states(window: MonitorWindow) -> list[str]:
    model = window.pipelines.model()
    return [str(model.data(model.index(row, 1))) for row in range(model.rowCount())]


@pytest.mark.skipif(sys.platform == "win32", reason="kills as on POSIX")
def test_an_engine_does_not_mind_that_its_window_is_killed(tmp_path: Path) -> None:
    script, home = tmp_path / "engine.py", tmp_path / "home"
    script.write_text(ENGINE.replace("100_000", "40"), encoding="utf-8")
    engine = subprocess.Popen([sys.executable, str(script), str(home)], cwd=tmp_path)
    window = subprocess.Popen(
        [sys.executable, "-m", "tenire.gui.window", str(home), "--parent"],
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert window.stdout is not None
    assert window.stdin is not None
    try:
        while b"ready" not in window.stdout.readline():
            pass
        window.kill()
        assert engine.wait(120) == 0
        assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 40
    finally:
        for process in (window, engine):
            process.kill()
            process.wait()
        window.stdin.close()
        window.stdout.close()
