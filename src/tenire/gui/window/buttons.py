"""Buttons that can be reached by keys and are called by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.gui.binding import QtCore, QtWidgets

if TYPE_CHECKING:
    from tenire.gui.binding import QtGui

__all__ = ["button", "menu_button"]


def button(action: QtGui.QAction) -> QtWidgets.QToolButton:
    """Return the button of an action."""
    # Qt would leave out the sign that a question follows.
    action.setIconText(action.text().replace("&", ""))
    made = QtWidgets.QToolButton()
    made.setDefaultAction(action)
    made.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
    made.setAccessibleName(action.text().replace("&", "").rstrip("…"))
    return made


def menu_button(text: str, actions: list[QtGui.QAction]) -> QtWidgets.QToolButton:
    """Return a button that opens a menu of actions."""
    made = QtWidgets.QToolButton()
    made.setText(text)
    menu = QtWidgets.QMenu(made)
    menu.addActions(actions)
    made.setMenu(menu)
    made.setPopupMode(QtWidgets.QToolButton.ToolButtonPopupMode.InstantPopup)
    made.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
    made.setAccessibleName(text.replace("&", ""))
    return made
