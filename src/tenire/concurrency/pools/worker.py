"""What runs inside a worker process: receive a job, run it, send its outcome."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any

from tenire.concurrency.pools.background import step_back
from tenire.concurrency.pools.frames import dump, receive, send
from tenire.concurrency.pools.lifeline import hold_on

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["RemoteTraceback", "main", "serve"]


class RemoteTraceback(Exception):  # noqa: N818 - not an error of its own, the text of one
    """Carries the text of a worker's traceback as the cause of its exception."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


def serve(jobs: Connection[Any, Any], lifeline: Connection[Any, Any]) -> None:
    """Run jobs until the engine closes the connection."""
    # Ctrl-C reaches the whole terminal group; the engine decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    hold_on(lifeline)
    step_back()
    while True:
        try:
            job = receive(jobs)
        except (EOFError, OSError):
            return
        except Exception as error:  # noqa: BLE001 - the job's outcome: its function cannot be loaded here
            outcome = _failure(error)
        else:
            if job is None:
                return
            outcome = _run(*job)
            del job
        try:
            send(jobs, outcome)
        except OSError:
            return
        # What was sent must not stay in memory until the next job comes.
        del outcome


def _run(fn: Any, args: tuple[Any, ...]) -> list[memoryview]:
    try:
        value = fn(*args)
    except BaseException as error:  # noqa: BLE001 - the job's outcome, SystemExit included
        return _failure(error)
    try:
        return dump((True, value, None))
    except Exception as error:  # noqa: BLE001 - pickling runs foreign code
        message = f"the result cannot be sent back from the worker process: {type(value).__name__} ({error})"
        return _failure(TypeError(message))


def _failure(error: BaseException) -> list[memoryview]:
    text = "".join(traceback.format_exception(error))
    error.__traceback__ = None
    try:
        parts = dump((False, error, text))
        # Many exceptions pickle but do not unpickle (a constructor with more
        # arguments than ``args``); that must show here, not in the engine.
        pickle.loads(parts[0], buffers=parts[1:])
    except Exception:  # noqa: BLE001 - pickling runs foreign code
        parts = dump((False, RuntimeError(f"{type(error).__qualname__}: {error}"), text))
    return parts


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed: there is nobody to tell
            stream.flush()


def main(jobs: Connection[Any, Any], lifeline: Connection[Any, Any]) -> None:
    """Entry point of the process."""
    try:
        serve(jobs, lifeline)
    finally:
        _flush()
        # Not sys.exit: threads that a library left behind must not keep the worker.
        os._exit(0)
