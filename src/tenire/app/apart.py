"""A command of tenire that a face starts, and that goes on when the face is closed.

1. It runs in a session of its own: neither Ctrl-C in the terminal of who started it nor the
   end of that terminal reaches it. Whoever wants it to end cancels its pipelines.
2. What it says goes into a file without a name, not through a pipe: it goes on writing
   after its face was closed, and a pipe that nobody reads would stop it then.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Apart", "in_a_session_of_its_own"]

_left: list[subprocess.Popen[bytes]] = []
"""Those that go on though nobody waits for them. Kept, so that a program that lives on takes in how they ended."""


def in_a_session_of_its_own() -> dict[str, Any]:
    """Return what keeps Ctrl-C in a terminal from a process that is started with it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}  # uvloop knows no process groups


class Apart:
    """Starts a command; blocks for a moment.

    Args:
        home: The home.
        words: The command and what it is given.
        heard: Which of its outputs can be read.

    Attributes:
        process: The process.
    """

    def __init__(self, home: Path, words: Sequence[str], *, heard: Literal["stdout", "stderr"]) -> None:
        _left[:] = [process for process in _left if process.poll() is None]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has ended or nobody listens any more
        outputs: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, heard: self._said}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tenire", "--home", str(home), *words],
            stdin=subprocess.DEVNULL, **outputs, **in_a_session_of_its_own(),
        )  # fmt: skip

    def code(self) -> int | None:
        """Return how it ended, or ``None`` while it goes on."""
        return self.process.poll()

    def said(self) -> str:
        """Return what it said, once it has ended; can be asked once."""
        self._said.seek(0)
        said = self._said.read().decode("utf-8", "replace").strip()
        self._said.close()
        return said

    def let_go(self) -> None:
        """Listen no more; it goes on."""
        self._said.close()
        if self.process.poll() is None:
            _left.append(self.process)
