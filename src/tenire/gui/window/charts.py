"""Curves of the last five minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.gui.binding import QtCore, QtGui, QtWidgets
from tenire.gui.window.texts import ABSENT, clock_time, count, load_level, per_second, percent, size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.app.feed import Sample
    from tenire.gui.window.theme import Theme

__all__ = ["Chart", "Charts", "nice_top"]

_SHOWN_S = 300.0
_GAP_S = 10.0
"""A longer time without a sample is a hole; under load an engine that nobody watches takes one every eight seconds."""
_SIDE, _EDGE, _GAP = 14, 8, 3
_LEAST = QtCore.QSize(200, 46)
"""Of a curve; its words need room besides, more of it with larger letters."""
_LONGEST = "12,345.6/s"


def nice_top(highest: float) -> float:
    """Return a round number that is not below the highest value: 1, 2 or 5 times a power."""
    if highest <= 0:
        return 1.0
    power = 1.0
    while power * 10 <= highest:
        power *= 10
    while power > highest:
        power /= 10
    for step in (1, 2, 5):
        if step * power >= highest:
            return step * power
    return 10 * power


class Chart(QtWidgets.QWidget):
    """One curve.

    Args:
        title: What it shows.
        value: Takes that from a sample; ``None`` where it is not known.
        text: Says a value in words.
        theme: The colours.
        top: The highest value, if that is always the same.
    """

    def __init__(
        self,
        title: str,
        value: Callable[[Sample], float | None],
        text: Callable[[float], str],
        theme: Theme,
        *,
        top: float | None = None,
    ) -> None:
        super().__init__()
        self._title, self._value, self._text, self._theme = title, value, text, theme
        self._fixed = top
        self._points: list[tuple[float, float]] = []
        self._now = 0.0
        self._live = True
        self._bold, self._small = QtGui.QFont(self.font()), QtGui.QFont(self.font())
        self._bold.setBold(True)
        self._small.setPointSizeF(max(7.0, self.font().pointSizeF() - 1))
        bold, small = QtGui.QFontMetrics(self._bold), QtGui.QFontMetrics(self._small)
        self._head, self._line = bold.height(), small.height()
        self._top, self._bottom = _EDGE + self._head + self._line + _GAP, _GAP + self._line + _EDGE
        words = self.fontMetrics().horizontalAdvance(title) + bold.horizontalAdvance(_LONGEST)
        self.setMinimumSize(max(_LEAST.width(), words + 2 * _SIDE), self._top + _LEAST.height() + self._bottom)
        self.setAccessibleName(title)

    def show_samples(self, samples: Sequence[Sample], *, live: bool = True) -> None:
        """Show these; ``live`` says whether there are more to come, so that the last one is of now."""
        points = [(sample.at, value) for sample in samples if (value := self._value(sample)) is not None]
        now = samples[-1].at if samples else 0.0
        if points != self._points or (points and now != self._now) or live != self._live:
            self._points = points
            self._now, self._live = now, live
            self.setAccessibleDescription(f"{self._title}: {self._latest()}")
            self.update()

    def _latest(self) -> str:
        return self._text(self._points[-1][1]) if self._points else ABSENT

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw."""
        del event
        theme = self._theme
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        card = QtCore.QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QtGui.QColor(theme.border))
        painter.setBrush(QtGui.QColor(theme.base))
        painter.drawRoundedRect(card, 6, 6)
        plot = card.adjusted(_SIDE, self._top, -_SIDE, -self._bottom)
        top = self._fixed or nice_top(max((value for _, value in self._points), default=0.0))
        self._draw_words(painter, card, plot, top)
        painter.setPen(QtGui.QPen(QtGui.QColor(theme.border), 1, QtCore.Qt.PenStyle.DotLine))
        painter.drawLine(plot.topLeft(), plot.topRight())
        painter.setPen(QtGui.QColor(theme.border))
        painter.drawLine(plot.bottomLeft(), plot.bottomRight())
        for stretch in self._stretches():
            self._draw_curve(painter, plot, stretch, top)
        painter.end()

    def _draw_words(self, painter: QtGui.QPainter, card: QtCore.QRectF, plot: QtCore.QRectF, top: float) -> None:
        theme, flags = self._theme, QtCore.Qt.AlignmentFlag
        font = painter.font()
        head = QtCore.QRectF(plot.left(), card.top() + _EDGE, plot.width(), self._head)
        painter.setPen(QtGui.QColor(theme.muted))
        painter.drawText(head, int((flags.AlignLeft | flags.AlignVCenter).value), self._title)
        painter.setPen(QtGui.QColor(theme.text))
        painter.setFont(self._bold)
        painter.drawText(head, int((flags.AlignRight | flags.AlignVCenter).value), self._latest())
        painter.setFont(self._small)
        painter.setPen(QtGui.QColor(theme.muted))
        above = QtCore.QRectF(plot.left(), plot.top() - self._line - 1, plot.width(), self._line)
        if self._points or self._fixed:  # the top of nothing would be a number without meaning
            painter.drawText(above, int((flags.AlignRight | flags.AlignBottom).value), self._text(top))
        below = QtCore.QRectF(plot.left(), plot.bottom() + _GAP, plot.width(), self._line)
        begin, end = ("5 min ago", "now") if self._live or not self._now else ("5 min before", clock_time(self._now))
        painter.drawText(below, int((flags.AlignLeft | flags.AlignTop).value), begin)
        painter.drawText(below, int((flags.AlignRight | flags.AlignTop).value), end)
        painter.setFont(font)

    def _stretches(self) -> list[list[tuple[float, float]]]:
        found: list[list[tuple[float, float]]] = []
        for point in self._points:
            if self._now - point[0] > _SHOWN_S:
                continue
            if not found or point[0] - found[-1][-1][0] > _GAP_S:
                found.append([])
            found[-1].append(point)
        return found

    def _draw_curve(
        self, painter: QtGui.QPainter, plot: QtCore.QRectF, points: list[tuple[float, float]], top: float
    ) -> None:
        line = QtGui.QPolygonF()
        for at, value in points:
            x = plot.right() - (self._now - at) / _SHOWN_S * plot.width()
            line.append(QtCore.QPointF(x, plot.bottom() - min(1.0, value / top) * plot.height()))
        colour = QtGui.QColor(self._theme.accent)
        area = QtGui.QPolygonF(line)
        area.append(QtCore.QPointF(line.at(line.size() - 1).x(), plot.bottom()))
        area.append(QtCore.QPointF(line.at(0).x(), plot.bottom()))
        pale = QtGui.QColor(colour)
        pale.setAlpha(46)
        painter.setPen(QtCore.Qt.PenStyle.NoPen)
        painter.setBrush(pale)
        painter.drawPolygon(area)
        painter.setPen(QtGui.QPen(colour, 1.6))
        painter.setBrush(QtCore.Qt.BrushStyle.NoBrush)
        painter.drawPolyline(line)


class Charts(QtWidgets.QWidget):
    """All curves.

    Args:
        theme: The colours.
    """

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._charts = (
            Chart(
                "Files and rows",
                lambda sample: sample.items,
                lambda value: per_second(value) if value else "0/s",
                theme,
            ),
            Chart("CPU slots in use", lambda sample: sample.cpu, percent, theme, top=1.0),
            Chart("Load of the machine", lambda sample: sample.load, load_level, theme, top=1.0),
            Chart("Memory", lambda sample: sample.resident or None, size, theme),
            Chart("Tasks waiting", lambda sample: sample.queued, count, theme),
            Chart("Tasks running", lambda sample: sample.running, count, theme),
        )
        grid = QtWidgets.QGridLayout(self)
        grid.setContentsMargins(0, 8, 0, 0)
        grid.setSpacing(8)
        for number, chart in enumerate(self._charts):
            grid.addWidget(chart, number // 3, number % 3)

    def show_samples(self, samples: Sequence[Sample], *, live: bool = True) -> None:
        """Show these; see ``Chart``."""
        for chart in self._charts:
            chart.show_samples(samples, live=live)
