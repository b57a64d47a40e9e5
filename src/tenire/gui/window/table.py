"""A table of records with what all tables of the window have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tenire.gui.binding import QtCore, QtGui, QtWidgets
from tenire.gui.records import RecordsModel
from tenire.gui.window.bars import BarDelegate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.gui.records import Column
    from tenire.gui.window.theme import Theme

__all__ = ["Table"]

Record = TypeVar("Record")

_ROW = 1.9
"""Heights of a letter."""
_PADDING = 24
"""Pixels on both sides of a text."""
_LEAST = 10
"""Letters of the column that takes what is left."""


class Table(QtWidgets.QTableView, Generic[Record]):
    """One table; what it shows and what is selected stays while records change.

    Args:
        name: For those who hear it.
        columns: Its columns.
        theme: The colours.
        empty: What stands there while there is nothing.
        widths: Widths of columns in letters, by place; the one that is missing takes what is left.
        many: Whether several rows can be selected.
    """

    def __init__(
        self,
        name: str,
        columns: tuple[Column[Record], ...],
        theme: Theme,
        *,
        empty: str,
        widths: Mapping[int, int],
        many: bool = False,
    ) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setObjectName(name)
        self._model: RecordsModel[Record] = RecordsModel(columns, self, by_cell=True)
        self._empty = empty
        self._theme = theme
        self.setModel(self._model)
        self.setItemDelegate(BarDelegate(theme, self))
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTextElideMode(QtCore.Qt.TextElideMode.ElideMiddle)
        views = QtWidgets.QAbstractItemView
        self.setSelectionBehavior(views.SelectionBehavior.SelectRows)
        mode = views.SelectionMode.ExtendedSelection if many else views.SelectionMode.SingleSelection
        self.setSelectionMode(mode)
        self.setVerticalScrollMode(views.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(views.ScrollMode.ScrollPerPixel)
        # Tab leaves the table, as it leaves everything else; arrows move in it.
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        letters = self.fontMetrics()
        self.verticalHeader().setDefaultSectionSize(round(letters.height() * _ROW))
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(letters.averageCharWidth() * 5)
        letter = letters.horizontalAdvance("0")
        for place, letters_wide in widths.items():
            wide = max(letter * letters_wide, letters.horizontalAdvance(columns[place].title))
            header.resizeSection(place, wide + _PADDING)
        # The column without a width takes what is left, and no less than its title and a short name need.
        self._stretched = next(place for place in range(len(columns)) if place not in widths)
        self._least = max(letter * _LEAST, letters.horizontalAdvance(columns[self._stretched].title)) + _PADDING
        header.setSectionResizeMode(self._stretched, QtWidgets.QHeaderView.ResizeMode.Stretch)
        self.ensurePolished()  # or the heading's height is that without its padding
        bar = self.horizontalScrollBar().sizeHint().height() + 2 * self.frameWidth()
        self.setMinimumHeight(header.sizeHint().height() + self.verticalHeader().defaultSectionSize() + bar)

    def show_records(self, records: Mapping[Any, Record]) -> None:
        """Show these."""
        was_empty = not self._model.rowCount()
        self._model.update(records)
        if was_empty != (not self._model.rowCount()):
            self.viewport().update()

    def selected(self) -> list[Any]:
        """Return the keys of the selected rows."""
        return [self._model.key(index.row()) for index in self.selectionModel().selectedRows()]

    def select_first(self) -> None:
        """Select the first row if none is."""
        if self._model.rowCount() and not self.selectionModel().hasSelection():
            self.selectRow(0)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Scroll sideways rather than leave the column that takes what is left no room."""
        super().resizeEvent(event)
        header, modes = self.horizontalHeader(), QtWidgets.QHeaderView.ResizeMode
        others = header.length() - header.sectionSize(self._stretched)
        fits = self.viewport().width() - others >= self._least
        header.setSectionResizeMode(self._stretched, modes.Stretch if fits else modes.Interactive)
        if not fits:
            header.resizeSection(self._stretched, self._least)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw; say so where there is nothing to draw."""
        super().paintEvent(event)
        if self._model.rowCount():
            return
        painter = QtGui.QPainter(self.viewport())
        painter.setPen(QtGui.QColor(self._theme.muted))
        painter.drawText(self.viewport().rect(), int(QtCore.Qt.AlignmentFlag.AlignCenter.value), self._empty)
        painter.end()
