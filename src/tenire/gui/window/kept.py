"""What a window looks like, kept from one time to the next: where it stands, and how it is divided."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tenire.errors import StoreError
from tenire.gui.binding import QtCore
from tenire.storage.state_directory import make_state_directory

if TYPE_CHECKING:
    from pathlib import Path

    from tenire.gui.binding import QtWidgets
    from tenire.gui.window.window import MonitorWindow

__all__ = ["Keeper", "keep", "restore"]

_VERSION = "2"
"""Of the columns, their widths, and tabs: what another version kept is not restored."""

_KEEP_MS = 1_000
"""From a change until it is kept: whoever moves a window or a column changes it a hundred times."""


class Keeper(QtCore.QObject):
    """Keeps how a window looks soon after that has changed: one that is killed comes again as it was.

    Args:
        window: The window, with which this ends.
        home: What it shows.
    """

    def __init__(self, window: MonitorWindow, home: Path) -> None:
        super().__init__(window)
        timer = QtCore.QTimer(self)
        timer.setSingleShot(True)
        timer.timeout.connect(lambda: keep(window, home))
        changes = [window.placed, window.split.splitterMoved, window.tabs.currentChanged]
        changes += [table.horizontalHeader().sectionResized for table in _tables(window).values()]
        for change in changes:
            change.connect(lambda *_: timer.isActive() or timer.start(_KEEP_MS))


def keep(window: MonitorWindow, home: Path) -> None:
    """Keep how it looks."""
    settings = _settings()
    if settings is None:
        return
    settings.beginGroup(_group(home))
    settings.setValue("geometry", window.saveGeometry())
    settings.setValue("split", window.split.saveState())
    settings.setValue("tab", window.tabs.currentIndex())
    for name, table in _tables(window).items():
        settings.setValue(name, table.horizontalHeader().saveState())
    settings.endGroup()
    settings.sync()


def restore(window: MonitorWindow, home: Path) -> None:
    """Make it look as it did; the first time, no larger than its screen, which at 200 % is soon done."""
    window.resize(window.size().boundedTo(window.screen().availableGeometry().size()))
    settings = _settings()
    if settings is None:
        return
    settings.beginGroup(_group(home))
    for name, put in (
        ("geometry", window.restoreGeometry),
        ("split", window.split.restoreState),
        *((name, table.horizontalHeader().restoreState) for name, table in _tables(window).items()),
    ):
        value = settings.value(name)
        if isinstance(value, QtCore.QByteArray):
            put(value)
    tab = str(settings.value("tab", ""))
    if tab.isdigit():
        window.tabs.setCurrentIndex(int(tab))
    settings.endGroup()


def _tables(window: MonitorWindow) -> dict[str, QtWidgets.QTableView]:
    names = ("pipelines", "tasks", "limits", "events", "quarantine", "parts")
    return {name: getattr(window, name) for name in names}


def _settings() -> QtCore.QSettings | None:
    try:
        folder = make_state_directory()
    except StoreError:  # a window that forgets how it looked is still a window
        return None
    return QtCore.QSettings(str(folder / "window.ini"), QtCore.QSettings.Format.IniFormat)


def _group(home: Path) -> str:
    return f"v{_VERSION}-{hashlib.sha256(str(home.absolute()).encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"
