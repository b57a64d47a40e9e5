"""The small dialogs over the window; each is opened and not executed, so that the window goes on behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.gui.binding import QtCore, QtWidgets

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ask_for", "question", "show_text"]

_ENDS = QtCore.Qt.WidgetAttribute.WA_DeleteOnClose


def question(over: QtWidgets.QWidget, text: str, more: str) -> QtWidgets.QMessageBox:
    """Return a question, which is yet to be given its buttons and to be opened."""
    box = QtWidgets.QMessageBox(over)
    box.setIcon(QtWidgets.QMessageBox.Icon.Question)
    box.setTextFormat(QtCore.Qt.TextFormat.PlainText)
    box.setText(text)
    box.setInformativeText(more)
    box.setAttribute(_ENDS)
    return box


def show_text(over: QtWidgets.QWidget, title: str, text: str) -> None:
    """Show a text, which can be copied."""
    box = QtWidgets.QMessageBox(over)
    box.setTextFormat(QtCore.Qt.TextFormat.PlainText)
    box.setTextInteractionFlags(QtCore.Qt.TextInteractionFlag.TextSelectableByMouse)
    box.setWindowTitle(title)
    box.setText(text)
    box.setAttribute(_ENDS)
    box.open()


def ask_for(over: QtWidgets.QWidget, title: str, what: str, then: Callable[[str], object], *, value: str = "") -> None:
    """Ask for one line, and hand it on unless it is empty.

    Args:
        over: The window.
        title: Of the dialog.
        what: What is asked for.
        then: Is given the line.
        value: What stands there already.
    """
    dialog = QtWidgets.QInputDialog(over)
    dialog.setWindowTitle(title)
    dialog.setLabelText(what)
    dialog.setTextValue(value)
    dialog.setAttribute(_ENDS)

    def accepted(text: str) -> None:
        if text.strip():
            then(text.strip())

    dialog.textValueSelected.connect(accepted)
    dialog.open()
