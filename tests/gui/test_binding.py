from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tenire.errors import ConfigError, MissingExtraError
from tenire.gui.binding import QtCore, chosen, is_alive

BOTH = ["PySide6", "PyQt6"]


def test_what_the_application_has_imported_is_taken() -> None:
    assert chosen("pyside6", {"PyQt6.QtCore"}, BOTH) == "PyQt6"


def test_qt_api_decides_where_nothing_is_imported() -> None:
    assert chosen("PyQt6", set(), BOTH) == "PyQt6"
    assert chosen("", set(), BOTH) == "PySide6"
    assert chosen("", set(), ["PyQt6"]) == "PyQt6"


def test_another_qt_api_is_refused_with_the_words_that_may_stand_there() -> None:
    with pytest.raises(ConfigError, match="pyside6 or pyqt6, got 'pyqt5'"):
        chosen("pyqt5", set(), BOTH)


def test_what_is_missing_is_named_with_its_command() -> None:
    with pytest.raises(MissingExtraError, match="PySide6") as found:
        chosen("", set(), [])
    assert found.value.hint == 'run: pip install "tenire[gui]"'
    with pytest.raises(MissingExtraError, match="PyQt6, which QT_API names") as found:
        chosen("pyqt6", set(), ["PySide6"])
    assert found.value.hint == "run: pip install PyQt6"


def test_a_deleted_object_is_not_alive() -> None:
    thing = QtCore.QObject()
    assert is_alive(thing)
    thing.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(thing, QtCore.QEvent.Type.DeferredDelete.value)
    assert not is_alive(thing)


MANY = """
import sys
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QApplication, QLabel

class Sender(QObject):
    sent = Signal(int)

application = QApplication([])
label = QLabel()
sender = Sender()
sender.sent.connect(lambda number: label.setText(str(number)))
before = sys.getrefcount(None)
for number in range(200_000):
    sender.sent.emit(number)
assert label.text() == "199999"
print(abs(sys.getrefcount(None) - before))
"""


@pytest.mark.skipif(find_spec("PySide6") is None, reason="PySide6 is not installed")
def test_two_hundred_thousand_emissions_and_updates_neither_end_the_interpreter_nor_lose_references() -> None:
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", MANY], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1_000


def test_every_public_name_is_there_and_the_window_needs_no_engine() -> None:
    import tenire.gui.qt as room

    assert {name: getattr(room, name) for name in room.__all__}
    with pytest.raises(AttributeError, match="nonsense"):
        room.nonsense  # noqa: B018 - looking it up is the test
    code = "import sys, tenire.gui.window.__main__; assert 'tenire.concurrency.manager' not in sys.modules"
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
