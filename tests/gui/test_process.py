from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tenire.concurrency import ConcurrencyManager
from tenire.concurrency.signals import Signals
from tenire.errors import ComponentError, ConfigError
from tenire.gui.binding import QtGui
from tenire.gui.process import WindowChanged, WindowProcess, require_screen
from tenire.gui.window.feeding import FeedThread
from tenire.gui.window.kept import restore
from tenire.gui.window.theme import DARK
from tenire.gui.window.window import MonitorWindow

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.gui.binding import QtWidgets

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def _offscreen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")


async def heard(window: WindowProcess, script: object = None) -> list[str]:
    """Run a window; return its states, doing what the script says at each."""
    states: list[str] = []

    def note(change: WindowChanged) -> None:
        states.append(change.state)
        if callable(script):
            script(change, states)

    window.signals.subscribe(WindowChanged, note)
    async with asyncio.timeout(120):
        assert await window.run() == 0
    return states


def test_a_window_starts_is_ready_and_closes_and_each_is_told(tmp_path: Path) -> None:
    states = asyncio.run(heard(WindowProcess(tmp_path, words=["--exit-after", "0.2"])))
    assert states == ["starting", "ready", "closed"]


def test_what_becomes_of_a_window_can_be_among_the_events_of_an_engine(tmp_path: Path) -> None:
    states: list[str] = []

    async def main() -> int:
        async with ConcurrencyManager(cpu=1, memory=1 << 20) as manager, asyncio.timeout(120):
            manager.signals.subscribe(WindowChanged, lambda change: states.append(change.state))
            window = WindowProcess(tmp_path, words=["--exit-after", "0.2"], signals=manager.signals)
            return await manager.submit(window.run)

    assert asyncio.run(main()) == 0
    assert states == ["starting", "ready", "closed"]


_LIGHT = """
import linecache, sys
import tenire.gui.window
assert "tenire.app.feed" in sys.modules
assert not [name for name in sys.modules if name.startswith(("PySide6", "PyQt6"))], "Qt came first"
from tenire.gui.window.__main__ import main
status = main([sys.argv[1], "--exit-after", "0.2"])
assert "uvloop" not in sys.modules
assert len(linecache.cache) < 20, len(linecache.cache)
raise SystemExit(status)
"""


def test_a_window_keeps_neither_sources_nor_a_second_kind_of_loop_in_memory(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", _LIGHT, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr


def test_a_window_that_is_killed_is_started_again_and_each_step_is_told(tmp_path: Path) -> None:
    changes: list[WindowChanged] = []

    async def main() -> None:
        window = WindowProcess(tmp_path)

        def note(change: WindowChanged) -> None:
            changes.append(change)
            if change.state == "ready" and change.pid is not None:
                if change.restarts:
                    running.cancel()
                else:
                    os.kill(change.pid, signal.SIGKILL)

        window.signals.subscribe(WindowChanged, note)
        running = asyncio.create_task(window.run())
        async with asyncio.timeout(120):
            await asyncio.wait([running])
        assert running.cancelled()

    asyncio.run(main())
    told = [(change.state, change.restarts) for change in changes]
    assert told == [("starting", 0), ("ready", 0), ("crashed", 0), ("restarted", 1), ("ready", 1), ("closed", 1)]
    starting, first, crashed, restarted, second, closed = changes
    assert starting.pid == first.pid is not None
    assert restarted.pid == second.pid is not None
    assert first.pid != second.pid
    assert crashed.pid is None is closed.pid
    assert "ended with -9" in crashed.detail
    for pid in (first.pid, second.pid):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_window_that_dies_too_often_is_given_up(tmp_path: Path) -> None:
    states: list[str] = []

    def script(change: WindowChanged, heard: list[str]) -> None:
        states[:] = heard
        if change.state == "ready" and change.pid is not None:
            os.kill(change.pid, signal.SIGKILL)

    window = WindowProcess(tmp_path)
    with pytest.raises(ComponentError, match="window"):
        asyncio.run(heard(window, script))
    once = ["ready", "crashed"]
    assert states == ["starting", *once, *(["restarted", *once] * 3), "failed"]
    assert window.state == "failed"


STEERED = """
import sys
from tenire.gui.binding import QtCore, QtWidgets
from tenire.gui.window import __main__ as program

def told(state, **facts):
    tell(state, **facts)
    window = next(each for each in QtWidgets.QApplication.topLevelWidgets() if isinstance(each, program.MonitorWindow))
    steps = {"ready": window.showMinimized, "hidden": window.showNormal, "shown": window.close}
    if state in steps:
        QtCore.QTimer.singleShot(0, steps[state])

tell, program.tell = program.tell, told
raise SystemExit(program.main(sys.argv[1:]))
"""


def test_a_window_that_is_minimised_is_hidden_until_it_is_shown_again(tmp_path: Path) -> None:
    window = WindowProcess(tmp_path)
    window._command = [sys.executable, "-c", STEERED, str(tmp_path), "--parent"]
    assert asyncio.run(heard(window)) == ["starting", "ready", "hidden", "ready", "closed"]


KILLED = """
import os, signal, sys
from tenire.gui.binding import QtCore, QtWidgets
from tenire.gui.window import __main__ as program, kept

def told(state, **facts):
    tell(state, **facts)
    window = next(each for each in QtWidgets.QApplication.topLevelWidgets() if isinstance(each, program.MonitorWindow))
    if state == "ready":
        QtCore.QTimer.singleShot(0, lambda: window.tabs.setCurrentIndex(3))

def keep(window, home):
    keep_it(window, home)
    if window.tabs.currentIndex() == 3:
        os.kill(os.getpid(), signal.SIGKILL)

keep_it, kept.keep, kept._KEEP_MS = kept.keep, keep, 0
tell, program.tell = program.tell, told
raise SystemExit(program.main([sys.argv[1], "--exit-after", "20"]))
"""


def test_a_window_that_is_killed_comes_again_as_it_was(tmp_path: Path, application: QtWidgets.QApplication) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    window = MonitorWindow(tmp_path, FeedThread(tmp_path, lambda _: None), DARK)
    restore(window, tmp_path)
    assert window.tabs.currentIndex() == 3
    window.deleteLater()


PARENT = """
import sys
from tenire.__main__ import main
from tenire.gui.process import WindowProcess

def told(window, state, detail=""):
    turn(window, state, detail)
    print(state, window.pid, flush=True)

turn, WindowProcess._turn = WindowProcess._turn, told
raise SystemExit(main())
"""


def test_ctrl_c_in_the_terminal_is_handled_by_the_parent_which_closes_the_window(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, "--home", str(tmp_path), "gui"],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert parent.stdout is not None
    try:
        while not (line := parent.stdout.readline()).startswith("ready"):
            assert line, "the window did not come up"
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: to all of the group
        assert [after.split()[0] for after in parent.stdout.read().splitlines()] == ["closed"]
        assert parent.wait(60) == 130
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(line.split()[1]), 0)


def test_cancelling_closes_the_window_and_leaves_no_process(tmp_path: Path) -> None:
    async def main() -> int:
        window = WindowProcess(tmp_path, signals=Signals())
        ready = asyncio.Event()
        pids: list[int] = []

        def note(change: WindowChanged) -> None:
            if change.state == "ready" and change.pid is not None:
                pids.append(change.pid)
                ready.set()

        window.signals.subscribe(WindowChanged, note)
        running = asyncio.create_task(window.run())
        async with asyncio.timeout(120):
            await ready.wait()
            running.cancel()
            await asyncio.wait([running])
        return pids[0]

    pid = asyncio.run(main())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_window_ends_with_its_parent_and_ctrl_c_is_not_its_own(tmp_path: Path) -> None:
    window = subprocess.Popen(
        [sys.executable, "-m", "tenire.gui.window", str(tmp_path), "--parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert window.stdin is not None
    assert window.stdout is not None
    try:
        while json.loads(window.stdout.readline())["state"] != "ready":
            pass
        window.send_signal(signal.SIGINT)
        window.stdin.close()
        assert "closed" in window.stdout.read()
        assert window.wait(60) == 0
    finally:
        window.kill()
        window.wait()
        window.stdout.close()


def test_a_picture_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "window.png"
    done = subprocess.run(
        [sys.executable, "-m", "tenire", "--home", str(tmp_path / "home"), "--json", "gui", "--screenshot", str(file),
         "--exit-after", "0.5", "--theme", "light"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"screenshot": str(file)}
    picture = QtGui.QImage(str(file))
    assert picture.width() > 1000
    assert QtGui.QColor(picture.pixel(3, 3)).lightness() > 200
    assert not (tmp_path / "home").exists()


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed (make test does so as root on Debian)")
def test_the_window_opens_on_a_real_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"],
        pass_fds=[writing], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        os.close(writing)
        number = os.read(reading, 16).decode().strip()
        assert number, "Xvfb did not start"
        monkeypatch.setenv("DISPLAY", f":{number}")
        monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
        file = tmp_path / "window.png"
        words = ["--screenshot", str(file), "--exit-after", "0.5", "--theme", "dark"]
        states = asyncio.run(heard(WindowProcess(tmp_path / "home", words=words)))
        assert states[0] == "starting"
        assert states[-1] == "closed"
        assert QtGui.QColor(QtGui.QImage(str(file)).pixel(3, 3)).lightness() < 60
    finally:
        os.close(reading)
        screen.terminate()
        screen.wait()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--screenshot", "x.png"], "--screenshot needs --exit-after"),
        (
            ["--screenshot", "x.pdf", "--exit-after", "1"],
            "--screenshot must end in .png, .jpg, .jpeg or .bmp, got",
        ),
        (["--theme", "blue"], "auto, dark or light, got 'blue'"),
        (["--exit-after", "-1"], "0 to 86400 seconds, got -1"),
        (["--screenshot", "nowhere/x.png", "--exit-after", "1"], "there is no directory nowhere"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, words: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tenire", "gui", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr


def test_a_window_that_was_never_seen_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    monkeypatch.setenv("DISPLAY", ":987654")  # nobody listens there, or Qt has no such plugin: it aborts
    states: list[str] = []
    window = WindowProcess(tmp_path)
    window.signals.subscribe(WindowChanged, lambda change: states.append(change.state))

    async def main() -> int:
        async with asyncio.timeout(120):
            return await window.run()

    assert asyncio.run(main()) == 1
    assert "could not be shown" in window.failure
    assert states.count("starting") == 1
    assert "restarted" not in states
    assert "plugin" in capfd.readouterr().err, "what Qt said stands on the terminal"


def test_without_a_screen_the_other_faces_are_named(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    del bare["QT_QPA_PLATFORM"]
    done = subprocess.run(
        [sys.executable, "-m", "tenire", "--home", str(tmp_path / "home"), "gui"],
        capture_output=True, text=True, timeout=120, check=False, env=bare,
    )  # fmt: skip
    if sys.platform == "linux":
        assert done.returncode == 2
        assert "needs a screen" in done.stderr
        assert "tenire top" in done.stderr
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        require_screen({name: "there"}, "linux")
    require_screen({}, "darwin")
    with pytest.raises(ConfigError, match="needs a screen"):
        require_screen({}, "linux")
