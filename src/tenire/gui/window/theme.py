"""Dark and light: one set of colours each, with the contrast that reading needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tenire.gui.binding import QtCore, QtGui, QtWidgets

__all__ = ["DARK", "LIGHT", "THEMES", "Theme", "apply", "dot", "wanted"]

ThemeName = Literal["auto", "dark", "light"]
THEMES = ("auto", "dark", "light")


@dataclass(frozen=True)
class Theme:
    """Colours, as ``#rrggbb``. Texts have at least 4.5 : 1 against what they stand on."""

    window: str
    base: str
    stripe: str
    border: str
    text: str
    muted: str
    accent: str
    good: str
    warning: str
    bad: str
    track: str
    chosen: str

    def of(self, severity: str) -> str:
        """Return the colour of ``info``, ``good``, ``warning`` or ``bad``."""
        return {"good": self.good, "warning": self.warning, "bad": self.bad}.get(severity, self.muted)


DARK = Theme(
    window="#14171b", base="#1b1f24", stripe="#20252b", border="#333a42", text="#e8ebee", muted="#9ba6b1",
    accent="#58a6ff", good="#3fb68b", warning="#e3a72f", bad="#f4736b", track="#323a43", chosen="#22384f",
)  # fmt: skip
LIGHT = Theme(
    window="#f3f4f6", base="#ffffff", stripe="#f7f8fa", border="#d4d9df", text="#1b2128", muted="#56616c",
    accent="#1c64d8", good="#18794e", warning="#8a5a00", bad="#c02f28", track="#dfe3e8", chosen="#d6e5fb",
)  # fmt: skip


def wanted(name: str) -> Theme:
    """Return the theme of a name; ``auto`` is what the desktop uses."""
    if name == "auto":
        scheme = QtGui.QGuiApplication.styleHints().colorScheme()
        return DARK if scheme == QtCore.Qt.ColorScheme.Dark else LIGHT
    return DARK if name == "dark" else LIGHT


def apply(application: QtWidgets.QApplication, theme: Theme) -> None:
    """Give an application the colours of a theme."""
    application.setStyle("Fusion")
    palette = QtGui.QPalette()
    role, group = QtGui.QPalette.ColorRole, QtGui.QPalette.ColorGroup
    for which, colour in {
        role.Window: theme.window,
        role.WindowText: theme.text,
        role.Base: theme.base,
        role.AlternateBase: theme.stripe,
        role.Text: theme.text,
        role.Button: theme.base,
        role.ButtonText: theme.text,
        role.ToolTipBase: theme.base,
        role.ToolTipText: theme.text,
        role.PlaceholderText: theme.muted,
        role.Highlight: theme.chosen,
        role.HighlightedText: theme.text,
        role.Link: theme.accent,
        role.Mid: theme.border,
    }.items():
        palette.setColor(which, QtGui.QColor(colour))
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(group.Disabled, which, QtGui.QColor(theme.muted))
    application.setPalette(palette)
    application.setStyleSheet(_sheet(theme))


def _sheet(theme: Theme) -> str:
    return f"""
    QMainWindow, QDialog {{ background: {theme.window}; }}
    QToolTip {{ background: {theme.base}; color: {theme.text}; border: 1px solid {theme.border}; padding: 4px; }}
    QTableView {{ background: {theme.base}; alternate-background-color: {theme.stripe};
        border: 1px solid {theme.border}; border-radius: 6px; gridline-color: transparent;
        selection-background-color: {theme.chosen};
        selection-color: {theme.text}; }}
    QTableView::item {{ padding: 0 8px; }}
    QHeaderView {{ background: {theme.base}; }}
    QHeaderView::section {{ background: {theme.base}; color: {theme.muted}; border: none;
        border-bottom: 1px solid {theme.border}; padding: 6px 11px; }}
    QTableCornerButton::section {{ background: {theme.base}; border: none; }}
    QTabWidget::pane {{ border: none; top: 4px; }}
    QTabBar::tab {{ background: transparent; color: {theme.muted}; padding: 7px 14px; border: none;
        border-bottom: 2px solid transparent; }}
    QTabBar::tab:selected {{ color: {theme.text}; border-bottom: 2px solid {theme.accent}; }}
    QTabBar::tab:focus {{ color: {theme.accent}; }}
    QTabBar::tab:hover {{ color: {theme.text}; }}
    QPushButton, QToolButton {{ background: {theme.base}; color: {theme.text}; border: 1px solid {theme.border};
        border-radius: 5px; padding: 5px 12px; }}
    QPushButton:hover, QToolButton:hover {{ border-color: {theme.accent}; }}
    QPushButton:focus, QToolButton:focus, QTableView:focus {{ border: 1px solid {theme.accent}; }}
    QPushButton:disabled, QToolButton:disabled {{ color: {theme.muted}; background: {theme.window}; }}
    QToolButton::menu-indicator {{ subcontrol-position: right center; right: 6px; }}
    QToolButton[popupMode="2"] {{ padding-right: 22px; }}
    QMenu {{ background: {theme.base}; color: {theme.text}; border: 1px solid {theme.border}; padding: 4px; }}
    QMenu::item {{ padding: 5px 24px; border-radius: 4px; }}
    QMenu::item:selected {{ background: {theme.chosen}; color: {theme.text}; }}
    QMenu::item:disabled {{ color: {theme.muted}; }}
    QStatusBar {{ color: {theme.muted}; }}
    QStatusBar::item {{ border: none; }}
    QSplitter::handle {{ background: transparent; }}
    QLabel[role="caption"] {{ color: {theme.muted}; }}
    QLabel[role="empty"] {{ color: {theme.muted}; }}
    QFrame[role="card"] {{ background: {theme.base}; border: 1px solid {theme.border}; border-radius: 6px; }}
    QFrame[role="banner"] {{ background: {theme.base}; border: 1px solid {theme.warning};
        border-left: 4px solid {theme.warning}; border-radius: 6px; }}
    """


def dot(colour: str, *, points: int = 10) -> QtGui.QIcon:
    """Return a small disc of a colour, sharp at any scale."""
    icon = QtGui.QIcon()
    for scale in (1, 2, 3):
        picture = QtGui.QPixmap(points * scale, points * scale)
        picture.setDevicePixelRatio(scale)
        picture.fill(QtCore.Qt.GlobalColor.transparent)
        painter = QtGui.QPainter(picture)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        painter.setPen(QtCore.Qt.PenStyle.NoPen)
        painter.setBrush(QtGui.QColor(colour))
        painter.drawEllipse(QtCore.QRectF(1, 1, points - 2, points - 2))
        painter.end()
        icon.addPixmap(picture)
    return icon
