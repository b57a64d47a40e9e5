"""Ends what is left of a cluster of our own: ``python -m tenire.engines.ray_watch FOLDER``.

A process of its own, which waits until the engine closes its end of the pipe, or is gone. Ray's
helpers notice by themselves that their cluster is gone, but only after a minute.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import psutil

__all__ = ["VARIABLE", "begin", "end", "end_all"]

VARIABLE = "TENIRE_RAY_FOLDER"
"""Set in the environment of all processes of a cluster, and only there; says which one it is."""

_END_S = 5.0


def begin(folder: str) -> subprocess.Popen[bytes]:
    """Watch over the cluster whose files are in a folder."""
    # In a session of its own: Ctrl-C in the terminal is not meant for it.
    command = [sys.executable, "-m", "tenire.engines.ray_watch", folder]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def end(watch: subprocess.Popen[bytes]) -> None:
    """Have it do its work now, and wait for that; blocks."""
    assert watch.stdin is not None
    with contextlib.suppress(OSError):
        watch.stdin.close()
    try:
        watch.wait(_END_S)
    except subprocess.TimeoutExpired:
        watch.kill()
        watch.wait()


def end_all(folder: str) -> None:
    """Kill all processes of a cluster, and remove its folder."""
    while True:
        left = [process for process in psutil.process_iter() if _is_of(process, folder)]
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        if not psutil.wait_procs(left, timeout=1)[0]:  # and then those that one of them had just started
            break
    shutil.rmtree(folder, ignore_errors=True)


def _is_of(process: psutil.Process, folder: str) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        if process.environ().get(VARIABLE) == folder:
            return True
        # Ray writes titles of its processes over what can be read of their environment; they all have a log there.
        # So has the engine itself, which has no such title.
        titled = "".join(process.cmdline()[:1]).startswith("ray::")
        return titled and any(file.path.startswith(folder + os.sep) for file in process.open_files())
    except (psutil.Error, OSError):  # another user's, or gone
        return False


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_all(sys.argv[1])
