"""Functions that tests send to worker processes; they must be importable there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tenire.clock import SYSTEM_CLOCK


def square(number: int) -> int:
    return number * number


def pid() -> int:
    return os.getpid()


def has_imported(module: str) -> bool:
    return module in sys.modules


def nice() -> int:
    return os.nice(0)


def batch_policy() -> bool:
    return os.sched_getscheduler(0) == os.SCHED_BATCH


def fail(message: str) -> None:
    raise ValueError(message)


class AwkwardError(Exception):
    """Pickles, but does not unpickle."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def fail_awkwardly() -> None:
    raise AwkwardError(1, 2)


def leave() -> None:
    raise SystemExit(5)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_self_once(marker: str) -> str:
    path = Path(marker)
    if not path.exists():
        path.write_text("was here")
        kill_self()
    return "second try"


def hang(marker: str) -> None:
    Path(marker).write_text(str(os.getpid()))
    threading.Event().wait()


def hang_once(marker: str) -> str:
    if not Path(marker).exists():
        hang(marker)
    return "second try"


def wait_for(marker: str) -> None:
    while not Path(marker).exists():
        threading.Event().wait(0.01)


def nap(seconds: float) -> float:
    threading.Event().wait(seconds)
    return seconds


kept: list[bytearray] = []


def leak(size: int) -> int:
    """Keep some memory for ever."""
    kept.append(bytearray(b"x") * size)
    nap(0.03)
    return os.getpid()


def hog(size: int) -> None:
    """Take memory, and hold it for ever."""
    held = bytearray(b"x") * size
    threading.Event().wait()
    del held


def after(value: Any, seconds: float) -> Any:
    nap(seconds)
    return value


def start_a_program(marker: str, wait: bool) -> None:
    """Start a program that runs for ever, and perhaps wait for it."""
    program = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
    Path(marker).write_text(f"{os.getpid()} {program.pid}")
    if wait:
        program.wait()


def spin(seconds: float) -> int:
    end = SYSTEM_CLOCK.now() + seconds
    turns = 0
    while SYSTEM_CLOCK.now() < end:
        turns += 1
    return turns


def count_up(size: int) -> Any:
    import numpy as np

    return np.arange(size, dtype=np.float64)


def total(array: Any) -> float:
    return float(array.sum())


def unpicklable() -> Any:
    return lambda: None


def run_a_child() -> str:
    return subprocess.run(
        [sys.executable, "-c", "print('child')"], check=True, capture_output=True, text=True
    ).stdout.strip()


def fork_and_die(how: str) -> None:
    """Leave a process behind that has what this one had, and be killed."""
    if how == "fork":
        if os.fork() == 0:
            while True:
                signal.pause()
    else:
        os.system("tail -f /dev/null &")  # unlike subprocess it closes nothing
    kill_self()


def fork_and_return() -> int:
    """Return twice, in this process and in a new one."""
    os.fork()
    return os.getpid()
