"""Ctrl-Z stops the workers too, and ``fg`` has them go on.

Workers are in process groups of their own, so a terminal's SIGTSTP reaches only the engine.
It stops the groups of its workers, then itself; whatever lets it go on (SIGCONT) takes it to
the next line, where it lets them go on. Windows has no such signals.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from tenire.concurrency.pools.group import signal_group
from tenire.concurrency.pools.link import links

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["Suspending"]


class Suspending:
    """Minds SIGTSTP from ``begin`` to ``end``; engines side by side share one handler."""

    _minding: list[Suspending] = []  # noqa: RUF012 - of the whole process, as the handler is

    def begin(self) -> None:
        """Mind it, if nobody else does; on another thread than the main one nothing happens."""
        if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
            return
        if self._minding or signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:
            self._minding.append(self)
            signal.signal(signal.SIGTSTP, _suspend)

    def end(self) -> None:
        """Leave it to the system again, once nobody minds it any more."""
        if sys.platform == "win32" or self not in self._minding:
            return
        if threading.current_thread() is threading.main_thread():
            self._minding.remove(self)
            if not self._minding and signal.getsignal(signal.SIGTSTP) is _suspend:
                signal.signal(signal.SIGTSTP, signal.SIG_DFL)


def _suspend(number: int, frame: FrameType | None) -> None:
    if sys.platform == "win32":
        return
    pids = [link.pid for link in list(links)]
    try:
        for pid in pids:
            signal_group(pid, signal.SIGSTOP)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        # The process stops in here. Where no shell could let it go on, it does not stop.
        os.kill(os.getpid(), signal.SIGTSTP)
    finally:
        signal.signal(signal.SIGTSTP, _suspend)
        for pid in pids:
            signal_group(pid, signal.SIGCONT)
