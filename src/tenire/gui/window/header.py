"""The top of the window: where it looks, whether an engine answers, and the figures that matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.app.printable import clean
from tenire.gui.binding import QtCore, QtGui, QtWidgets
from tenire.gui.records import plain_tip
from tenire.gui.window.rows import headline
from tenire.gui.window.texts import ABSENT, clock_time
from tenire.gui.window.theme import dot

if TYPE_CHECKING:
    from tenire.app.feed import View
    from tenire.gui.window.theme import Theme

__all__ = ["Banner", "Header", "quiet_label"]

_GAP = 8
_LINKS = {"attached": "good", "silent": "warning", "gone": "bad"}


def quiet_label(text: str = "") -> QtWidgets.QLabel:
    """Return a label for captions, which shows texts as they are."""
    label = QtWidgets.QLabel(text)
    label.setProperty("role", "caption")
    label.setTextFormat(QtCore.Qt.TextFormat.PlainText)
    return label


class _Figure(QtWidgets.QFrame):
    def __init__(self, caption: str) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._caption = caption
        self._value = QtWidgets.QLabel(ABSENT)
        font = self._value.font()
        font.setPointSizeF(font.pointSizeF() * 1.5)
        font.setBold(True)
        self._value.setFont(font)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(0)
        column.addWidget(self._value)
        column.addWidget(quiet_label(caption))
        self._name()

    def show_value(self, text: str) -> None:
        if text != self._value.text():
            self._value.setText(text)
            self._name()

    def _name(self) -> None:
        self.setAccessibleName(f"{self._caption}: {self._value.text()}")


class Header(QtWidgets.QWidget):
    """The home, the link, and the figures.

    Args:
        theme: The colours.
    """

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._icons = {link: dot(theme.of(severity), points=12).pixmap(12, 12) for link, severity in _LINKS.items()}
        self._dot = QtWidgets.QLabel()
        self._shown_link = ""
        self._link = QtWidgets.QLabel()
        font = self._link.font()
        font.setBold(True)
        self._link.setFont(font)
        self._home = quiet_label()
        self._home.setTextInteractionFlags(QtCore.Qt.TextInteractionFlag.TextSelectableByMouse)
        self._reason = quiet_label()
        self._texts = {self._home: "", self._reason: ""}
        for label in self._texts:
            label.setMinimumWidth(1)  # a long text is cut with a sign, and widens no window
        line = QtWidgets.QHBoxLayout()
        line.setSpacing(_GAP)
        for widget in (self._dot, self._link, self._home):
            line.addWidget(widget)
        line.addStretch(1)
        line.addWidget(self._reason)
        self._figures: dict[str, _Figure] = {}
        self._row = QtWidgets.QHBoxLayout()
        self._row.setSpacing(6)  # all of them fit on a screen of 960 points: 1920 pixels at 200 %
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(line)
        column.addLayout(self._row)

    def show_view(self, view: View) -> None:
        """Show this."""
        engine = view.engine if view.attached else None
        words = {"attached": "Engine running", "silent": "Engine does not answer", "gone": "No engine"}
        pid = f" (pid {engine.pid})" if engine is not None else ""
        if view.link != self._shown_link:  # a picture is painted and laid out anew even if it is the same
            self._shown_link = view.link
            self._dot.setPixmap(self._icons.get(view.link, self._icons["gone"]))
        self._link.setText(words.get(view.link, view.link) + pid)
        self._texts = {
            self._home: clean(view.shown_home),
            self._reason: clean(engine.reason or "") if engine is not None else "",
        }
        self._fit()
        self._home.setToolTip(plain_tip(clean(view.home)))
        self._reason.setToolTip(plain_tip(self._texts[self._reason]))
        for caption, text in headline(view).items():
            figure = self._figures.get(caption)
            if figure is None:
                figure = self._figures[caption] = _Figure(caption)
                self._row.addWidget(figure, 1)
            figure.show_value(text)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Show as much of what is long as there is room for."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        fixed = self._dot.sizeHint().width() + self._link.sizeHint().width() + 4 * _GAP
        room = max(0, self.width() - fixed)
        for label, text in self._texts.items():
            metrics = label.fontMetrics()
            other = sum(metrics.horizontalAdvance(each) for each in self._texts.values()) - metrics.horizontalAdvance(
                text
            )
            shown = metrics.elidedText(text, QtCore.Qt.TextElideMode.ElideMiddle, max(room // 2, room - other) - _GAP)
            if shown != label.text():
                label.setText(shown)


class Banner(QtWidgets.QFrame):
    """Says that no engine answers, and offers to start one."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "banner")
        self._text = QtWidgets.QLabel()
        self._text.setTextFormat(QtCore.Qt.TextFormat.PlainText)
        self._text.setWordWrap(True)
        self.start = QtWidgets.QPushButton("Start a &run…")
        self.start.setAccessibleDescription("Choose a configuration file and run its pipelines")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(14, 8, 10, 8)
        row.addWidget(self._text, 1)
        row.addWidget(self.start)

    def show_view(self, view: View) -> None:
        """Show this."""
        self.setVisible(not view.attached)
        if not view.attached:
            what = "What you see is how the last run ended." if view.link == "gone" and view.pipelines else ""
            # How long there was none before somebody looked is not known.
            since = "" if view.engine is None else f"since {clock_time(view.since)} "
            text = f"{since}{clean(view.note)}. It is found by itself when it is there. {what}".strip()
            text = text[:1].upper() + text[1:]
            self._text.setText(text)
            self.setAccessibleName(text)
            self.start.setVisible(view.link == "gone")
