"""A run that the window started: a process that outlives it, and says why if it ends at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.app.apart import Apart
from tenire.gui.binding import QtCore, Signal

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["StartedRun"]

_LOOK_MS = 200
_MOST_CHARACTERS = 2_000
_FINE = (0, 3, 130)
"""Done; done, with items in quarantine, which the window shows; interrupted."""


class StartedRun(QtCore.QObject):
    """Runs the pipelines of a file on a home.

    Args:
        home: The home.
        file: The configuration.
        parent: What it ends with; the process itself goes on.

    Attributes:
        failed: Signal: the run has failed; with what it said.
        ended: Signal: the process has ended, however; with its exit code.
        process: The process.
    """

    failed = Signal(str)
    ended = Signal(int)

    def __init__(self, home: Path, file: str, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._run = Apart(home, ["--quiet", "run", file], heard="stderr")
        self.process = self._run.process
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_LOOK_MS)

    def _look(self) -> None:
        code = self._run.code()
        if code is None:
            return
        self._timer.stop()
        said = self._run.said()
        if code not in _FINE:
            how = f"it was ended by signal {-code}" if code < 0 else f"it ended with {code} and said nothing"
            self.failed.emit(said[-_MOST_CHARACTERS:] or how)
        self.ended.emit(code)
