"""SIGTERM ends a program with an engine in it as Ctrl-C does: quickly, but in order.

Left to itself, the system ends the program on the spot: nobody learns what was stuck,
and what coroutines would tidy up stays. So while there is an engine, SIGTERM cancels the
task that has entered it, which then leaves by ``SystemExit``; where that was a thread,
``SystemExit`` is raised there. A second SIGTERM ends the program at once. Who has a
handler for SIGTERM keeps it. In a child made by ``fork``, which has the handler but no engine,
it ends that at once, as the system does.

On a loop nothing is raised out of the blue: an exception between any two lines of the
engine would leave it in a state that nobody has thought of.

SIGTSTP, Ctrl-Z, is minded as long: see ``pools.suspending``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from tenire.concurrency.pools.suspending import Suspending

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["TERMINATED", "Termination"]

TERMINATED = 128 + signal.SIGTERM
"""Exit code of a program that was told to end."""


class Termination:
    """Minds SIGTERM from ``begin`` to ``end``; engines side by side share one handler."""

    _minding: list[Termination] = []  # noqa: RUF012 - of the whole process, as the handler is
    _pid = 0

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._told = False
        self._suspending = Suspending()

    def begin(self) -> None:
        """Mind it, if nobody else does; on another thread than the main one nothing happens."""
        self._suspending.begin()
        if threading.current_thread() is not threading.main_thread():
            return
        if not self._minding and signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
            return
        try:
            self._task = asyncio.current_task()
        except RuntimeError:  # there is no loop on this thread
            self._task = None
        self._minding.append(self)
        Termination._pid = os.getpid()
        signal.signal(signal.SIGTERM, _terminate)

    def end(self) -> None:
        """Leave it to the system again, once nobody minds it any more.

        Raises:
            SystemExit: If the program was told to end, and this is a task.
        """
        self._suspending.end()
        if self not in self._minding or threading.current_thread() is not threading.main_thread():
            return
        self._minding.remove(self)
        if not self._minding and signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._told:
            raise SystemExit(TERMINATED)

    def cancel(self) -> bool:
        """Cancel the task that has entered the engine; return whether there is one."""
        task = self._task
        if task is None or task.done():
            return False
        self._told = True
        task.get_loop().call_soon_threadsafe(task.cancel)
        return True

    @classmethod
    def tell(cls) -> None:
        """Have every engine end; in a fork, which has none, end the process.

        Raises:
            SystemExit: If one of them was not entered by a task.
        """
        if os.getpid() != cls._pid:
            signal.raise_signal(signal.SIGTERM)
        others = [engine for engine in cls._minding if not engine.cancel()]
        if others:
            raise SystemExit(TERMINATED)


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the second one ends it at once
    Termination.tell()
