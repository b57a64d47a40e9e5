"""What runs inside a worker process: receive a job, run it, send its outcome."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any

from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency.pools.background import limited, step_back
from tenire.concurrency.pools.frames import pack, receive, send, size_of
from tenire.concurrency.pools.group import become_group
from tenire.concurrency.pools.jobs import run_job
from tenire.concurrency.pools.lifeline import hold_on
from tenire.concurrency.pools.memory import PeakMeter, joined

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["main", "serve"]

_BROKEN = 4
"""Exit code of a worker that cannot go on by itself."""


def serve(jobs: Connection[Any, Any], lifeline: Connection[Any, Any], limits: tuple[str, ...] = ()) -> None:
    """Run jobs until the engine closes the connection.

    Args:
        jobs: Where they come from and their outcomes go to.
        lifeline: See ``lifeline``.
        limits: Names of the variables by which the engine limits the threads of libraries; they are set.
    """
    # Ctrl-C reaches the whole terminal group; the engine decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    become_group()
    hold_on(lifeline)
    step_back()
    limited(limits)
    now = SYSTEM_CLOCK.now
    meter = PeakMeter(now())
    with contextlib.suppress(EOFError, OSError):  # the engine is gone, or wants no more
        while True:
            job = receive(jobs)
            started = now()
            tag, parts = run_job(job)
            ended = now()
            needed = meter.needed(ended - started)
            # Less what came and what is sent: that goes before the next job comes.
            kept = meter.resident - size_of(job.parts) - size_of(parts)
            send(jobs, pack(tag, joined(needed, max(0, kept)), parts))
            # What came and what was sent must not stay in memory until the next job comes.
            del job, parts
            meter.between_jobs(ended)


def _keep_to_itself(jobs: Connection[Any, Any]) -> None:
    """Leave the way to the engine to this process alone.

    A process that a task has started, and that holds it too, would hide from the engine that the worker is gone,
    and a fork that comes back from the task's function would answer in its place.
    """
    os.set_inheritable(jobs.fileno(), False)  # ``spawn`` had it inherited
    os.register_at_fork(after_in_child=jobs.close)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed: there is nobody to tell
            stream.flush()


def main(jobs: Connection[Any, Any], lifeline: Connection[Any, Any], limits: tuple[str, ...] = ()) -> None:
    """Entry point of the process."""
    code = 0
    try:
        if sys.platform != "win32":
            _keep_to_itself(jobs)
        serve(jobs, lifeline, limits)
    except BaseException:  # noqa: BLE001 - for example arguments that do not fit into memory
        traceback.print_exc()
        code = _BROKEN
    finally:
        _flush()
        # Not sys.exit: threads that a library left behind must not keep the worker.
        os._exit(code)
