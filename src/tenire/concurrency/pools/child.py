"""One worker process, as the operating system sees it: start it, kill it, see it gone.

Everything here takes milliseconds, so it runs on a link's own thread.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from tenire.concurrency.pools.background import thread_limits
from tenire.concurrency.pools.group import kill_group
from tenire.concurrency.pools.worker import main

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["Child", "hold_interrupts"]

_JOIN_S = 1.0
_NOT_KNOWN = 255
_reaping = threading.Lock()
"""Starting a process also waits for all that have ended: of two threads that do so, one would learn no exit code."""
_SOCKET_BYTES = 1 << 20
"""Asked for each end's buffer: measured a tenth faster for 10 MB than the usual 208 KiB.

macOS starts with 8 KiB, too little for a message that must not wait (see ``frames``).
"""


def hold_interrupts() -> None:
    """Block SIGINT in this thread; a process that it starts inherits that.

    A Ctrl-C that comes before the worker can ignore it would end it with a traceback.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


class _NameWithEnvironment(str):
    """A process's name whose arrival there sets environment variables.

    The name is the first thing that a spawned process reads, before it imports the
    main script, and with it perhaps numpy, whose libraries look at the environment
    once. Setting the engine's own environment for a moment would be seen by its
    other threads.
    """

    _variables: dict[str, str]

    def __new__(cls, name: str, variables: dict[str, str]) -> _NameWithEnvironment:
        it = super().__new__(cls, name)
        it._variables = variables
        return it

    def __reduce__(self) -> tuple[Any, ...]:
        # In built-in words: nothing of Tenire can be imported there yet.
        return eval, (f"__import__('os').environ.update({self._variables!r}) or {str(self)!r}",)


class Child:
    """A worker process that runs.

    Args:
        name: The worker's name.
        threads: Threads that numerical libraries may use there; ``None``: no limit.

    Attributes:
        connection: The engine's end of the way to it.
        pid: Its process id.

    Raises:
        Exception: If it cannot be started.
    """

    def __init__(self, name: str, threads: int | None) -> None:
        if hasattr(signal, "pthread_sigmask"):
            # Python starts its resource tracker with the first process, and unblocks
            # SIGINT in this thread after that.
            multiprocessing.resource_tracker.ensure_running()
        hold_interrupts()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        lifeline_theirs, lifeline_ours = context.Pipe(duplex=False)
        limits = {} if threads is None else thread_limits(threads)
        process_name = _NameWithEnvironment(f"tenire-{name}", limits) if limits else f"tenire-{name}"
        self._process = context.Process(target=main, args=(theirs, lifeline_theirs, tuple(limits)), name=process_name)
        try:
            _widen(ours)
            _widen(theirs)
            with _reaping:
                self._process.start()
        except BaseException:
            for connection in (ours, theirs, lifeline_theirs, lifeline_ours):
                connection.close()
            raise
        theirs.close()
        lifeline_theirs.close()
        self.connection = ours
        self.pid: int | None = self._process.pid
        self._lifeline = lifeline_ours

    def let_go(self) -> None:
        """Close this process's ends of all ways to it; for a fork of the engine's process.

        Or the worker would not see the engine's end before the fork's.
        """
        for end in (self.connection, self._lifeline):
            with contextlib.suppress(OSError):
                end.close()

    def has_unread(self) -> bool:
        """Return whether it has not read all that was sent to it; False where that cannot be seen."""
        if sys.platform == "win32":
            return False
        import array
        import fcntl
        import termios

        left = array.array("i", [0])
        try:
            fcntl.ioctl(self.connection.fileno(), termios.TIOCOUTQ, left)
        except OSError:  # macOS does not tell it of sockets
            return False
        return left[0] > 0

    def kill(self) -> None:
        """Kill it and what its tasks have started, whatever they do."""
        if self.pid is not None:
            kill_group(self.pid)
        self._process.kill()

    def end(self) -> int | None:
        """Let it end, kill it if it does not, and return its exit code."""
        self.connection.close()
        process = self._process
        # Not join, which would give its process id, and with it the group's, free at once.
        multiprocessing.connection.wait([process.sentinel], _JOIN_S)
        self._lifeline.close()  # last, or it would not come to flush what it has printed
        if self.pid is not None:
            kill_group(self.pid)
        process.kill()
        # For a while only: what a task has forked, and is in another group, holds the sentinel as well.
        multiprocessing.connection.wait([process.sentinel], _JOIN_S)
        with _reaping:
            process.join()
            code = process.exitcode
        if code is None:
            # The program has waited for all its children itself: there is no code, and without one nothing is closed.
            process._popen.returncode = _NOT_KNOWN  # type: ignore[attr-defined]  # noqa: SLF001
        process.close()
        return code


def _widen(connection: Connection[Any, Any]) -> None:
    if sys.platform == "win32":
        return
    import socket

    # A system that gives less gives what it has.
    with contextlib.suppress(OSError), socket.socket(fileno=connection.fileno()) as it:
        try:
            it.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        finally:
            it.detach()  # the connection closes it
