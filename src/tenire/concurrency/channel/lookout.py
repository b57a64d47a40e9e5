"""Waiting for another engine to listen in a directory.

Its key is looked at: each engine makes a new one, and only when it listens already. Such a
look costs a tenth of trying to connect, so it can be had every ``STEP_S``. It is taken on a
thread, which a disk that hangs may hold up, but no loop; on one of its own, as it looks for
as long as nobody comes, and whoever needs a thread for a moment must not wait for that.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.blocking import haste_s, wait_or_give_up
from tenire.concurrency.channel.endpoint import KEY_FILE
from tenire.concurrency.daemon_executor import DaemonExecutor
from tenire.concurrency.unbroken import unbroken

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["STEP_S", "Lookout"]

STEP_S = 0.08
"""Between two looks."""


class Lookout:
    """Looks out for engines; for one waiter at a time.

    Args:
        directory: The directory of their channel: a home. It need not exist.
    """

    def __init__(self, directory: Path) -> None:
        self._key = directory / KEY_FILE
        self._seen: object = self  # no file's: the first wait ends with its first look
        self._thread = DaemonExecutor("tenire-lookout", 1, keep=False)

    async def wait(self, seconds: float) -> None:
        """Return once the key is another than at the end of the wait before, or after so many seconds.

        It never returns before ``STEP_S``: who connects in vain after each wait does not spin.
        """
        leave = threading.Event()
        looking = asyncio.wrap_future(self._thread.submit(self._look, seconds, leave))
        try:
            await asyncio.wait([looking])
        except asyncio.CancelledError:
            leave.set()
            # It leaves at once, unless a disk holds it up: then it goes on alone.
            await unbroken(wait_or_give_up([looking], haste_s()))
            raise
        looking.result()

    def _look(self, seconds: float, leave: threading.Event) -> None:
        until = SYSTEM_CLOCK.now() + seconds
        while not leave.wait(STEP_S):
            found = self._identity()
            if found != self._seen or SYSTEM_CLOCK.now() >= until:
                self._seen = found
                return

    def _identity(self) -> object:
        try:
            found = os.stat(self._key)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
