"""What ends a command from outside: Ctrl-C, and a polite termination.

From then on nothing is started any more, and hundreds of calls end within a moment, each
with an exception whose traceback holds frames. The collector would look through all of
that again and again, and take as long as ending them does. So it rests until they have
ended, and does not look through all that was loaded once more when the interpreter ends,
which would take a third of the time that an end by Ctrl-C may take.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["INTERRUPTED", "Interruption", "interruptible"]

INTERRUPTED = 130
"""Exit code of an interrupted command, whichever signal asked for it."""

_SHOW_CURSOR = b"\x1b[?25h\r\n"


class Interruption:
    """How often a command was asked to stop, and how it stops.

    Args:
        ignored: Whether Ctrl-C is to be ignored, as for a script's background job.
    """

    def __init__(self, *, ignored: bool) -> None:
        self._ignored = ignored
        self._stopping = False
        self._stop: Callable[[int, FrameType | None], object] | None = None

    def second_ends_at_once(self) -> None:
        """Let the first signal stop the command as it does now, and a second one end the process.

        For the time when there is something to stop: call it once a loop has set
        its own handler. Nothing is lost by it; a killed run is made whole by the next.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        stop = signal.getsignal(signal.SIGINT)
        self._stop = stop if callable(stop) else None
        # A job that a script started in the background does not mind the terminal's Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_IGN if self._ignored else self._interrupted)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), _SHOW_CURSOR)
            os._exit(INTERRUPTED)
        self._stopping = True
        gc.disable()
        atexit.register(gc.freeze)
        if self._stop is not None:
            self._stop(number, frame)

    def terminated(self, number: int, frame: FrameType | None) -> None:
        """Do what Ctrl-C does."""
        if self._stop is not None:
            self._interrupted(signal.SIGINT, frame)
        else:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Let SIGTERM do inside the block what Ctrl-C does, and put handlers and collector back at its end."""
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    interruption = Interruption(ignored=ignored)
    if threading.current_thread() is not threading.main_thread():
        yield interruption  # signals are somebody else's business
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    collecting = gc.isenabled()
    signal.signal(signal.SIGTERM, interruption.terminated)
    if ignored:
        # A loop installs its own handler only in place of Python's; SIGTERM needs that one too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if collecting:
            gc.enable()
