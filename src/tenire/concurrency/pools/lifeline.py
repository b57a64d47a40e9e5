"""A worker never outlives the engine, not even one killed with SIGKILL.

The engine holds the write end of a pipe that nobody writes to. When the engine
is gone, however it went, the system closes that end, and the worker, which holds
the read end, leaves. A thread watches for it; on Linux the kernel is asked for a
signal as well, because a thread cannot run while foreign code holds the interpreter
lock. It is SIGKILL, which ends a stopped process too, and goes to the worker's whole group.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from tenire.concurrency.pools.group import kill_own_group

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["hold_on"]

_ORPHANED = 3


def hold_on(lifeline: Connection[Any, Any]) -> None:
    """End this process as soon as the other end of ``lifeline`` is gone."""
    if sys.platform == "linux":
        import fcntl

        fd = lifeline.fileno()
        own = os.getpid()
        # Negative: a group. One that is not ours was not told to end with us.
        fcntl.fcntl(fd, fcntl.F_SETOWN, -own if os.getpgid(0) == own else own)
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)

    def watch() -> None:
        try:
            lifeline.recv_bytes()
        except (EOFError, OSError):
            kill_own_group()
            os._exit(_ORPHANED)

    threading.Thread(target=watch, name="tenire-lifeline", daemon=True).start()
