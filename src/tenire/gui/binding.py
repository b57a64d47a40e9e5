"""Which Qt it is: the only file that knows PySide6 from PyQt6.

The one that the application has imported already; else the one that ``QT_API`` names
(``pyside6`` or ``pyqt6``, as other libraries read it); else the one that is installed,
PySide6 first.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tenire.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "BINDING",
    "Property",
    "QtCore",
    "QtGui",
    "QtWidgets",
    "Signal",
    "SignalInstance",
    "Slot",
    "chosen",
    "is_alive",
]

_NAMES = {"pyside6": "PySide6", "pyqt6": "PyQt6"}
_FEATURE = "Qt"
_SAFE_BELOW = (6, 12)
"""From this version on PySide6 aborts interpreters older than 3.12: it drops references of ``None``."""


def chosen(wanted: str, imported: Collection[str], installed: Collection[str]) -> str:
    """Return the package to import.

    Args:
        wanted: What ``QT_API`` says; empty if nothing.
        imported: Names of the modules that are imported.
        installed: The packages that could be.

    Raises:
        ConfigError: If ``QT_API`` names something else.
        MissingExtraError: If there is none.
    """
    for name in _NAMES.values():
        if f"{name}.QtCore" in imported:
            return name
    if wanted:
        name = _NAMES.get(wanted.lower(), "")
        if not name:
            message = f"QT_API must be {' or '.join(_NAMES)}, got {wanted!r}"
            raise ConfigError(message, key="QT_API", hint="unset it to take the one that is installed")
        if name not in installed:
            raise MissingExtraError(
                _FEATURE, extra="gui", missing=f"{name}, which QT_API names", install=_install_of(name)
            )
        return name
    for name in _NAMES.values():
        if name in installed:
            return name
    raise MissingExtraError(_FEATURE, extra="gui", missing="PySide6")


def _install_of(name: str) -> str | None:
    return None if name == "PySide6" else f"pip install {name}"


def _modules() -> tuple[str, Any, Any, Any]:
    name = chosen(
        os.environ.get("QT_API", ""), sys.modules, [each for each in _NAMES.values() if find_spec(each) is not None]
    )
    _refuse_fatal(name)
    try:
        core, gui, widgets = (importlib.import_module(f"{name}.{part}") for part in ("QtCore", "QtGui", "QtWidgets"))
    except ImportError as error:
        message = f"{name} is installed, but cannot be loaded: {error}"
        hint = "on Debian and Ubuntu: apt-get install libgl1 libegl1 libxkbcommon0 libfontconfig1 libdbus-1-3"
        raise ConfigError(message, hint=hint) from error
    return name, core, gui, widgets


def _refuse_fatal(name: str) -> None:
    if name != "PySide6" or sys.version_info >= (3, 12):
        return
    version = importlib.import_module(name).__version_info__[:2]
    if version >= _SAFE_BELOW:
        message = (
            f"PySide6 {'.'.join(map(str, version))} would abort this Python {sys.version_info[0]}.{sys.version_info[1]}"
        )
        raise ConfigError(message, hint='run: pip install "PySide6-Essentials<6.12"')


if TYPE_CHECKING:
    from PySide6 import QtCore, QtGui, QtWidgets
    from PySide6.QtCore import Property, Signal, SignalInstance, Slot

    BINDING = "PySide6"
else:
    BINDING, QtCore, QtGui, QtWidgets = _modules()
    if BINDING == "PySide6":
        Property, Signal, SignalInstance, Slot = QtCore.Property, QtCore.Signal, QtCore.SignalInstance, QtCore.Slot
    else:
        Property, Signal, SignalInstance, Slot = (
            getattr(QtCore, name) for name in ("pyqtProperty", "pyqtSignal", "pyqtBoundSignal", "pyqtSlot")
        )


def is_alive(thing: QtCore.QObject) -> bool:
    """Return whether a Qt object still exists, and not only what Python knows of it."""
    if BINDING == "PySide6":
        import shiboken6

        return bool(shiboken6.isValid(thing))
    sip: Any = importlib.import_module("PyQt6.sip")
    return not sip.isdeleted(thing)
