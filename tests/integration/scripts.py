"""Whole scripts with an engine in them, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["AT_ONCE_S", "Script", "no_complaint"]

AT_ONCE_S = 5.0
"""A second or so, on a machine that does ten other things."""

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
        """Read one line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def read(self, line: str) -> None:
        """Read up to a line."""
        assert self.process.stdout is not None
        for found in self.process.stdout:
            if found.strip() == line:
                return
        pytest.fail(f"it ended without saying {line!r}: {self.end()}")

    def end(self, seconds: float = 30) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"it hangs: {self.process.communicate()}")
        return self.process.returncode, out, err


def no_complaint(err: str) -> bool:
    return not any(complaint in err for complaint in COMPLAINTS)
