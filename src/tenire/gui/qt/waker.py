"""Calls one function in the thread of a Qt event loop, for whoever asks, from any thread.

However often it is asked for before the function runs, it runs once: a burst from the
engine costs the window one event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.gui.binding import QtCore, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Waker"]


class Waker(QtCore.QObject):
    """See the module. It belongs to the thread that makes it.

    Args:
        call: What is called.
    """

    _woken = Signal()

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__()
        self._call = call
        self._asked = False
        self._closed = False
        self._woken.connect(self._wake, QtCore.Qt.ConnectionType.QueuedConnection)

    def wake(self) -> None:
        """Have the function called soon; from any thread."""
        if not self._asked:
            self._asked = True
            if not self._closed:
                self._woken.emit()

    def close(self) -> None:
        """Call it no more; in its own thread."""
        self._closed = True
        self.deleteLater()

    @Slot()
    def _wake(self) -> None:
        # First free, then the call: who asks meanwhile is served by another one.
        self._asked = False
        if not self._closed:
            self._call()
