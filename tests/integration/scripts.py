"""Whole scripts with an engine in them, each in a process of its own, and what "at once" means for them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, TypeVar

import pytest

from tenire.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["ATTEMPTS", "AT_ONCE_S", "STUCK_S", "Script", "at_once", "no_complaint"]

AT_ONCE_S = 1.0
"""What an end may take, the interpreter's own included."""

STUCK_S = AT_ONCE_S + 0.25
"""The same where something is stuck. Half a second of it the engine waits on purpose, so that the machine has only the
other half for all the rest, and one that does five times as much as it can takes 0.3 to 0.65 s for that; ``make bench``
judges the plain second."""

ATTEMPTS = 3
"""How often a busy machine may be asked: what takes twice as long does so each time."""

Begun = TypeVar("Begun")
Outcome = TypeVar("Outcome")


def at_once(begin: Callable[[], Begun], end: Callable[[Begun], Outcome], *, most_s: float = AT_ONCE_S) -> Outcome:
    """Return the outcome of the first attempt in which an end takes no longer than it may.

    Args:
        begin: Starts it, and returns when it can be told to end.
        end: Tells it, and returns when it is gone. Only this is timed.
        most_s: What it may take: ``STUCK_S`` where something is stuck.
    """
    taken = []
    for _ in range(ATTEMPTS):
        begun = begin()
        started = SYSTEM_CLOCK.now()
        outcome = end(begun)
        seconds = SYSTEM_CLOCK.now() - started
        if seconds <= most_s:
            return outcome
        taken.append(f"{seconds:.2f} s")
    return pytest.fail(f"expected it to end within {most_s} s, it took {', '.join(taken)}", pytrace=False)


COMPLAINTS = ("never retrieved", "destroyed but", "loop is closed", "ResourceWarning", "Traceback", "never awaited")

HEAD = """
import asyncio, os, signal, sys, threading, time
import tenire
from tenire.concurrency.loops import EventLoopManager

def say(*words):
    print(*words, flush=True)

def answer():
    return 42

async def stubborn():
    say("begun")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("refused")

async def forever(name="task"):
    say(name, "begun")
    try:
        await asyncio.Event().wait()
    finally:
        say(name, "cleaned up")
"""


class Script:
    """A Python script in a process of its own, with every warning shown; ``under`` another one that runs it."""

    def __init__(
        self,
        folder: Path,
        body: str,
        *words: str,
        through: tuple[str, ...] = (),
        under: tuple[str, ...] = (),
        new_session: bool = sys.platform != "win32",
    ) -> None:
        file = folder / "script.py"
        file.write_text(HEAD + textwrap.dedent(body), encoding="utf-8")
        self.process = subprocess.Popen(
            [*through, sys.executable, "-X", "dev", *under, str(file), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=new_session,
            process_group=None if new_session or sys.platform == "win32" else 0,
        )

    def line(self) -> str:
        """Read one line, or nothing at the end."""
        return self._line().strip()

    def read(self, line: str) -> None:
        """Read up to a line."""
        while found := self._line():
            if found.strip() == line:
                return
        pytest.fail(f"it ended without saying {line!r}: {self.end()}")

    def _line(self) -> str:
        # Byte by byte: what a stream would read ahead is lost to ``communicate``, which goes by the pipe itself.
        assert self.process.stdout is not None
        found = bytearray()
        while not found.endswith(b"\n") and (byte := os.read(self.process.stdout.fileno(), 1)):
            found += byte
        return found.decode()

    def end(self, press: signal.Signals | None = None, *, seconds: float = 30) -> tuple[int, str, str]:
        """Send it a signal, if one is given, and return exit code, stdout and stderr."""
        if press is not None:
            self.process.send_signal(press)
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"it hangs: {self.process.communicate()}")
        return self.process.returncode, out, err


def no_complaint(err: str) -> bool:
    return not any(complaint in err for complaint in COMPLAINTS)
