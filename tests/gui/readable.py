"""Prints what cannot be read in the monitor window: run by a test as a program, so that each scale has a process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.gui.test_window import Recorder, view

from tenire.gui.binding import QtCore, QtGui, QtWidgets
from tenire.gui.window.theme import LIGHT, apply
from tenire.gui.window.window import MonitorWindow

LONG_HOME = "/srv/projects/one-with-a-name-that-goes-on/" + "and-on-" * 20 + "for-ever/.tenire"

SCREEN = 960, 540 - 30
"""1920 by 1080 at 200 %, less a title bar."""
PADDING = 11
"""On both sides of a heading."""


class Drawn:
    """What is drawn by hand, with the place that it has for it."""

    def __init__(self) -> None:
        self.cut: list[str] = []
        self._looking = False
        self._places: list[tuple[QtCore.QRectF, str]] = []
        draw = QtGui.QPainter.drawText

        def note(painter: QtGui.QPainter, *words: Any) -> Any:
            if not self._looking:
                return draw(painter, *words)
            rect, flags, text = words
            needed = painter.boundingRect(QtCore.QRectF(rect), flags, text)
            room = QtCore.QRectF(rect).adjusted(-1, -1, 1, 1)
            if needed.width() > room.width() or needed.height() > room.height():
                self.cut.append(f"drawn: {text!r} needs {needed.size()}, has {rect.size()}")
            place = painter.deviceTransform().mapRect(needed)
            self.cut += [f"drawn: {text!r} lies on {other!r}" for old, other in self._places if old.intersects(place)]
            self._places.append((place, text))
            return draw(painter, *words)

        QtGui.QPainter.drawText = note  # type: ignore[method-assign]

    def look(self, window: MonitorWindow) -> QtGui.QPixmap:
        """Draw all of a window once."""
        self._places.clear()
        self._looking = True
        picture = window.grab()
        self._looking = False
        return picture


def cut_off(window: MonitorWindow) -> list[str]:
    """Return what has less room than it needs."""
    found = []
    for label in window.findChildren(QtWidgets.QLabel):
        if label.isVisible() and not label.wordWrap():
            needed = label.fontMetrics().size(0, label.text())
            if needed.width() > label.width() or needed.height() > label.height():
                found.append(f"label: {label.text()!r} needs {needed}, has {label.size()}")
    for button in window.findChildren(QtWidgets.QAbstractButton):
        hint = button.sizeHint()
        if button.isVisible() and button.text() and (hint.width() > button.width() or hint.height() > button.height()):
            found.append(f"button: {button.text()!r}")
    bar = window.tabs.tabBar()
    if bar.sizeHint().width() > bar.width():
        found.append("tabs")
    for table in window.findChildren(QtWidgets.QTableView):
        if not table.isVisible():
            continue
        header, model = table.horizontalHeader(), table.model()
        if table.viewport().height() < table.verticalHeader().defaultSectionSize():
            found.append(f"no row fits: {table.accessibleName()}")
        for column in range(model.columnCount()):
            title = str(model.headerData(column, QtCore.Qt.Orientation.Horizontal))
            if header.fontMetrics().horizontalAdvance(title) + 2 * PADDING > header.sectionSize(column):
                found.append(f"heading: {title!r} of {table.accessibleName()}")
            stretched = header.sectionResizeMode(column) == QtWidgets.QHeaderView.ResizeMode.Stretch
            for row in range(0 if stretched else model.rowCount()):
                index = model.index(row, column)
                if table.sizeHintForIndex(index).width() > table.columnWidth(column):
                    found.append(f"cell: {index.data()!r} of {table.accessibleName()}")
                if table.sizeHintForIndex(index).height() > table.rowHeight(row):
                    found.append(f"row: {index.data()!r} of {table.accessibleName()}")
    return found


def settle(application: QtWidgets.QApplication) -> None:
    """Let Qt lay out what has changed; what is laid out anew asks for another turn."""
    for _ in range(3):
        application.processEvents()


def main(letters: float, picture: str) -> None:
    """Show all of the window, and print what is cut."""
    application = QtWidgets.QApplication([])
    font = application.font()
    font.setPointSizeF(font.pointSizeF() * letters)
    application.setFont(font)
    apply(application, LIGHT)
    drawn = Drawn()
    window = MonitorWindow(Path(LONG_HOME), Recorder(), LIGHT)  # type: ignore[arg-type]
    window.resize(window.minimumSizeHint())
    window.show()
    found = set()
    for shown in (view(home=LONG_HOME), view(number=2, link="gone", note="no engine is running", rates={})):
        window.show_view(shown)
        for tab in range(window.tabs.count()):
            window.tabs.setCurrentIndex(tab)
            settle(application)
            found.update(cut_off(window))
            drawn.look(window)
    window.tabs.setCurrentIndex(0)
    window.show_view(view(home=LONG_HOME))
    settle(application)
    window.resize(window.minimumSizeHint())
    settle(application)
    found.update(cut_off(window))
    if letters == 1.0 and (window.width() > SCREEN[0] or window.height() > SCREEN[1]):
        found.add(f"the window needs {window.size()}")
    assert drawn.look(window).save(picture)
    sys.stdout.write("\n".join(sorted(found.union(drawn.cut))))


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
