"""Seconds until an engine that is told to end is gone, and until what was killed is made up for.

- ctrl_c, sigterm: from the signal until the process is gone, with 10,000 queued tasks and 50 threads that are stuck, on
  a loop of its own (``loop``) and on one in a thread (``thread``);
- second_ctrl_c: the same from a second signal, while a task refuses to be cancelled;
- worker: from SIGKILL of one of four busy workers until a task that was submitted then has run in a new one;
- orphans: from SIGKILL of an engine until no worker of it, busy or stopped, is left, nor a program that one started.

All of it is time that passed, of the whole process, the interpreter's own end included. The worst of several rounds is
judged; ``bare`` is what an interpreter with the same imports takes to end, for the speed of the machine. Exits 1 if one
figure is above what it must be.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from _common import report, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MUST_S, MUST_ORPHANS_S = 1.0, 2.0
LOOK_S, PATIENCE_S = 0.002, 60

HEAD = """
import asyncio, os, signal, subprocess, sys, threading, time
import tenire

def say(*words):
    print(*words, flush=True)

def end(on_a_loop, in_a_thread):
    try:
        asyncio.run(on_a_loop()) if sys.argv[1] == "loop" else in_a_thread()
    except KeyboardInterrupt:
        pass
"""

BARE = """
say("ready")
sys.stdin.read()
"""

STUCK = """
begun = threading.Barrier(51)

def stick():
    begun.wait(60)
    threading.Event().wait()

def load(manager):
    stuck = [manager.submit(stick) for _ in range(50)]
    for _ in range(10_000):
        manager.submit(asyncio.sleep, 0, after=stuck[:1])
    begun.wait(60)

async def on_a_loop():
    async with tenire.ConcurrencyManager(cpu=50, memory=1) as manager:
        await asyncio.to_thread(load, manager)
        say("ready")
        await asyncio.Event().wait()

def in_a_thread():
    with tenire.ConcurrencyManager.in_thread(cpu=50, memory=1) as manager:
        load(manager)
        say("ready")
        while True:
            time.sleep(0.05)

end(on_a_loop, in_a_thread)
"""

STUBBORN = """
async def stubborn():
    say("begun")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("ready")

def in_a_thread():
    with tenire.ConcurrencyManager.in_thread(cpu=1, memory=1) as manager:
        manager.submit(stubborn).result()

end(None, in_a_thread)
"""

WORKER = """
def until(go, number):
    open(f"{go}{number}", "w").close()
    while not os.path.exists(go):
        time.sleep(0.01)

if __name__ == "__main__":
    go = sys.argv[1]
    with tenire.ConcurrencyManager.in_thread(cpu=4, memory=1) as manager:
        handles = [manager.submit(until, go, number, on="process") for number in range(4)]
        while not all(os.path.exists(f"{go}{number}") for number in range(4)):
            time.sleep(0.01)
        os.kill(manager.thread_pool.statistics().processes["worker-2"], signal.SIGKILL)
        killed = time.monotonic()
        manager.submit(os.getpid, on="process").result(30)
        say(time.monotonic() - killed)
        open(go, "w").close()
"""

ORPHANS = """
def starts_a_program():
    subprocess.run([sys.executable, "-c", "import threading; threading.Event().wait()"])

def never_lets_go():
    sum(range(10**13))  # does not give another thread a turn

if __name__ == "__main__":
    with tenire.ConcurrencyManager.in_thread(cpu=3, memory=1) as manager:
        manager.submit(starts_a_program, on="process")
        manager.submit(never_lets_go, on="process", worker="own")
        manager.submit(os.getpid, on="process").result(30)
        say("ready")
        threading.Event().wait()
"""


@contextlib.contextmanager
def started(body: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a script of its own, up to where it is ready."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.py"
        script.write_text(HEAD + body, encoding="utf-8")
        command = [sys.executable, str(script), *words]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdout is not None
            try:
                yield process
            finally:
                process.kill()
                process.communicate()


def read(process: subprocess.Popen[str], line: str) -> None:
    """Read up to a line."""
    assert process.stdout is not None
    for found in process.stdout:
        if found.strip() == line:
            return
    raise SystemExit(f"a script ended without saying {line!r}: {process.communicate()[1]}")


def bare() -> float:
    """Return the seconds that a mere interpreter takes to end."""
    with started(BARE) as process:
        read(process, "ready")
        assert process.stdin is not None
        told = time.perf_counter()
        process.stdin.close()
        process.wait()
        took = time.perf_counter() - told
        process.stdin = None
    return took


def gone(body: str, where: str, *numbers: signal.Signals) -> float:
    """Return the seconds from the last of the signals until it is gone; before each it says that it is ready."""
    with started(body, where) as process:
        if len(numbers) > 1:
            read(process, "begun")
        for number in numbers[:-1]:
            process.send_signal(number)
        read(process, "ready")
        told = time.perf_counter()
        process.send_signal(numbers[-1])
        process.communicate(timeout=PATIENCE_S)  # what it says of those that are stuck is part of it
        return time.perf_counter() - told


def made_up_for() -> float:
    """Return the seconds from the death of a worker until another one has run a task."""
    with tempfile.TemporaryDirectory() as folder, started(WORKER, os.path.join(folder, "go")) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
        if process.returncode:
            raise SystemExit(err)
        return float(out)


def orphaned(stop: bool) -> float:
    """Return the seconds from the death of an engine until nothing of it is left."""
    with started(ORPHANS) as process:
        read(process, "ready")
        family: list[psutil.Process] = []
        while not complete(family):
            time.sleep(0.02)
            family = psutil.Process(process.pid).children(recursive=True)
        if stop:
            for one in family:
                if is_worker(one):
                    one.suspend()
        process.kill()
        killed = time.perf_counter()
        process.wait()
        while any(map(runs, family)):
            time.sleep(LOOK_S)
            if time.perf_counter() - killed > PATIENCE_S:
                raise SystemExit(f"for {PATIENCE_S} s there has been something left of a killed engine: {family}")
        return time.perf_counter() - killed


def complete(family: list[psutil.Process]) -> bool:
    """Whether all workers are there, each with a group of its own, and the program that one of them starts."""
    workers = [one for one in family if is_worker(one)]
    programs = [one for one in family if "threading.Event" in command(one)]
    return len(workers) >= 3 and bool(programs) and all(os.getpgid(one.pid) == one.pid for one in workers)


def is_worker(process: psutil.Process) -> bool:
    return "spawn_main" in command(process)


def command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    interrupt, terminate = signal.SIGINT, signal.SIGTERM
    ways: dict[str, Callable[[], float]] = {
        "bare": bare,
        "ctrl_c_loop": lambda: gone(STUCK, "loop", interrupt),
        "ctrl_c_thread": lambda: gone(STUCK, "thread", interrupt),
        "sigterm_loop": lambda: gone(STUCK, "loop", terminate),
        "sigterm_thread": lambda: gone(STUCK, "thread", terminate),
        "second_ctrl_c": lambda: gone(STUBBORN, "thread", interrupt, interrupt),
        "worker": made_up_for,
        "orphans": lambda: orphaned(stop=False),
        "orphans_stopped": lambda: orphaned(stop=True),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            taken[name].append(way())
    must = {name: MUST_ORPHANS_S if name.startswith("orphans") else MUST_S for name in ways if name != "bare"}
    within = all(max(taken[name]) <= most for name, most in must.items())
    report(
        "ends",
        s={name: spread(values) for name, values in taken.items()},
        must_s=MUST_S,
        must_orphans_s=MUST_ORPHANS_S,
        within=within,
    )
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
