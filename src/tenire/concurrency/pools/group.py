"""A worker and whatever its tasks start end together: they are one process group.

Without it a program that a task started would go on when its worker is killed, or
the engine. A program that shall outlive them is started in a session of its own
(``start_new_session=True``). Windows has no such groups; there the descendants are
looked up.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

__all__ = ["become_group", "kill_group", "kill_own_group", "signal_group"]


def become_group() -> None:
    """Make this process the head of a group of its own."""
    if sys.platform == "win32":
        return
    # Who is not in the terminal's group is stopped when it reads from there; so there
    # is nothing to read, for programs that a task starts as well.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    with contextlib.suppress(OSError):  # a sandbox may forbid it: then only the worker itself is killed
        os.setpgid(0, 0)


def kill_group(pid: int) -> None:
    """Kill the group of a worker; if it has none, or has none yet, nothing happens."""
    if sys.platform == "win32":
        _kill_descendants(pid)
        return
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def signal_group(pid: int | None, number: int) -> None:
    """Send a signal to the group of a worker, or to itself while it has none yet; not on Windows."""
    if sys.platform == "win32" or pid is None:
        return
    try:
        os.killpg(pid, number)
    except OSError:
        with contextlib.suppress(OSError):  # it has ended
            os.kill(pid, number)


def kill_own_group() -> None:
    """Kill what this worker's tasks have started, and where there are groups the worker too."""
    if sys.platform == "win32":
        _kill_descendants(os.getpid())
    elif os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)


def _kill_descendants(pid: int) -> None:
    import psutil

    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
