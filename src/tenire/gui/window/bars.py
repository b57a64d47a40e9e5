"""Bars in cells of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.gui.binding import QtCore, QtGui, QtWidgets
from tenire.gui.window.rows import BAR_ROLE

if TYPE_CHECKING:
    from tenire.gui.window.theme import Theme

__all__ = ["BarDelegate"]

_MARGIN = 10
_HEIGHT = 6
_GAP = 6
_LONGEST = "100 %"


class BarDelegate(QtWidgets.QStyledItemDelegate):
    """Draws a part of one as a bar with its text beside it.

    Args:
        theme: The colours.
        parent: With what it ends.
    """

    def __init__(self, theme: Theme, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._theme = theme

    def paint(
        self,
        painter: QtGui.QPainter,
        option: QtWidgets.QStyleOptionViewItem,
        index: QtCore.QModelIndex | QtCore.QPersistentModelIndex,
    ) -> None:
        """Draw one cell."""
        held = index.data(BAR_ROLE)
        if held is None:
            super().paint(painter, option, index)
            return
        part, severity = held
        self.initStyleOption(option, index)
        text = option.text
        option.text = ""
        style = QtWidgets.QApplication.style()
        style.drawControl(QtWidgets.QStyle.ControlElement.CE_ItemViewItem, option, painter)
        theme = self._theme
        rect = QtCore.QRectF(option.rect).adjusted(_MARGIN, 0, -_MARGIN, 0)
        painter.save()
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        painter.setPen(QtGui.QColor(theme.text))
        room = max(option.fontMetrics.horizontalAdvance(each) for each in (_LONGEST, text))
        right = QtCore.QRectF(rect.right() - room, rect.top(), room, rect.height())
        flags = QtCore.Qt.AlignmentFlag
        painter.drawText(right, int((flags.AlignRight | flags.AlignVCenter).value), text)
        width = rect.width() - room - _GAP
        if width > 8:
            track = QtCore.QRectF(rect.left(), rect.center().y() - _HEIGHT / 2, width, _HEIGHT)
            painter.setPen(QtCore.Qt.PenStyle.NoPen)
            painter.setBrush(QtGui.QColor(theme.track))
            painter.drawRoundedRect(track, _HEIGHT / 2, _HEIGHT / 2)
            if part:
                colour = theme.accent if severity in ("info", "muted") else theme.of(severity)
                painter.setBrush(QtGui.QColor(colour))
                track.setWidth(max(_HEIGHT, width * part))
                painter.drawRoundedRect(track, _HEIGHT / 2, _HEIGHT / 2)
        painter.restore()
