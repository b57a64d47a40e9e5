"""An application without a screen, and turns of its event loop that end when something is so."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

if not any(find_spec(name) for name in ("PySide6", "PyQt6")):
    pytest.skip("the extra gui is not installed", allow_module_level=True)

from tenire.clock import SYSTEM_CLOCK
from tenire.gui.binding import QtCore, QtWidgets
from tenire.gui.qt.loop import open_gui_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Until = Callable[[Callable[[], object]], None]
    DuringExec = Callable[[Callable[[], object]], None]

_LONGEST_S = 60.0
"""Only so that a test that would hang fails."""


@pytest.fixture(scope="session")
def application() -> QtWidgets.QApplication:
    """The one application of the process."""
    found = QtWidgets.QApplication.instance()
    return found if isinstance(found, QtWidgets.QApplication) else QtWidgets.QApplication([])


@pytest.fixture(autouse=True)
def _clean_loop(application: QtWidgets.QApplication) -> Iterator[None]:
    yield
    loop = open_gui_loop()
    if loop is not None:
        loop.close()
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)


@pytest.fixture
def until(application: QtWidgets.QApplication) -> Until:
    """Let Qt work until a condition holds."""

    def wait(condition: Callable[[], object]) -> None:
        give_up_at = SYSTEM_CLOCK.now() + _LONGEST_S
        while not condition():
            assert SYSTEM_CLOCK.now() < give_up_at, "it did not come to pass"
            # Waits for events; the timer has it look again.
            timer = QtCore.QTimer()
            timer.setSingleShot(True)
            timer.start(5)
            application.processEvents(QtCore.QEventLoop.ProcessEventsFlag.WaitForMoreEvents)

    return wait


@pytest.fixture
def during_exec(application: QtWidgets.QApplication) -> DuringExec:
    """Call a function while ``application.exec()`` runs, and quit once it returns.

    After an application has quit, a dialog opens only within another ``exec``.
    """

    def run(call: Callable[[], object]) -> None:
        def call_and_quit() -> None:
            try:
                call()
            finally:
                application.quit()

        QtCore.QTimer.singleShot(0, call_and_quit)
        application.exec()

    return run


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What reaches ``sys.excepthook``."""
    seen: list[BaseException] = []
    monkeypatch.setattr("sys.excepthook", lambda _kind, error, _traceback: seen.append(error))
    return seen
