"""What a job's outcome means to the task: its value, its own exception, or a ``TaskError``."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from tenire.concurrency.pools.frames import dump
from tenire.concurrency.pools.jobs import (
    NO_ARGUMENTS,
    NO_FUNCTION,
    PLAIN,
    RAISED,
    RAISED_UNSENDABLE,
    UNSENDABLE,
    VALUE,
)
from tenire.errors import NoWorkerError, TaskError, WorkerDiedError
from tenire.storage.advice import shortage

if TYPE_CHECKING:
    from tenire.concurrency.handle import Handle
    from tenire.concurrency.pools.frames import Message

__all__ = [
    "GUARD_HINT",
    "RemoteTraceback",
    "died",
    "lost",
    "no_thread",
    "no_worker",
    "read",
    "unreadable",
    "unsendable",
    "unstartable",
]


GUARD_HINT = 'a main script needs an if __name__ == "__main__": guard around what it does'


class RemoteTraceback(Exception):  # noqa: N818 - not an error of its own, the text of one
    """Carries the text of a worker's traceback as the cause of its exception."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


def read(handle: Handle[Any], outcome: Message) -> tuple[Any, BaseException | None]:
    """Return the value and the exception of a task from its worker's answer."""
    tag = outcome.tag
    try:
        loaded = pickle.loads(outcome.parts[0], buffers=outcome.parts[1:])
    except Exception as error:  # noqa: BLE001 - unpickling runs foreign code
        return None, unreadable(handle, error)
    if tag in (PLAIN, VALUE):
        return loaded, None
    *words, text = loaded
    raised: BaseException = words[0] if tag == RAISED else _explained(handle, tag, words)
    raised.__cause__ = RemoteTraceback(text)
    return None, raised


def _explained(handle: Handle[Any], tag: int, words: list[str]) -> TaskError:
    name = handle.name
    if tag == RAISED_UNSENDABLE:
        message = f"task {name!r} raised an exception that cannot be sent back from its worker process: {words[0]}"
        return TaskError(message, task=name, hint="give the exception's class a constructor that takes its args")
    if tag == UNSENDABLE:
        kind, why = words
        message = f"the result of task {name!r} cannot be sent back from its worker process: {kind} ({why})"
        return TaskError(message, task=name, hint="return plain data")
    if tag == NO_FUNCTION:
        message = f"the function of task {name!r} cannot be loaded in its worker process: {words[0]}"
        return TaskError(message, task=name, hint="it must be importable there under the name that it has here")
    assert tag == NO_ARGUMENTS
    kinds = ", ".join(type(arg).__qualname__ for arg in handle.args)
    message = f"the arguments of task {name!r} ({kinds}) cannot be loaded in its worker process: {words[0]}"
    return TaskError(message, task=name, hint="pass plain data")


def unsendable(handle: Handle[Any], error: Exception) -> TaskError:
    """Return why a job cannot be sent: which argument it is, and its type."""
    name, reason = handle.name, error
    what = f"task {name!r}"
    for number, arg in enumerate(handle.args, 1):
        try:
            dump(arg)
        except Exception as caught:  # noqa: BLE001 - pickling runs foreign code
            kind = type(arg)
            what = f"argument {number} of task {name!r}, of type {kind.__module__}.{kind.__qualname__},"
            reason = caught
            break
    message = f"{what} cannot be sent to a worker process: {reason}"
    hint = "pass plain data; open files, locks and connections inside the function"
    wrapped = TaskError(message, task=name, hint=hint)
    wrapped.__cause__ = reason
    return wrapped


def unstartable(task: str, error: Exception) -> NoWorkerError:
    """Return why there is no worker for a task."""
    message = f"no worker process can be started for task {task!r}: {str(error) or type(error).__name__}"
    hint = shortage(error)
    if hint is None and isinstance(error, OSError):
        hint = "the system is short of processes, memory or open files"
    wrapped = NoWorkerError(message, task=task, hint=hint)
    wrapped.__cause__ = error
    return wrapped


def no_thread(task: str, error: RuntimeError) -> NoWorkerError | None:
    """Return why no thread runs a task, if that is because the system gives none."""
    hint = shortage(error)
    if hint is None:
        return None
    return NoWorkerError(f"no thread can be started for task {task!r}: {error}", task=task, hint=hint)


def unreadable(handle: Handle[Any], error: Exception) -> TaskError:
    """Return why a job's outcome cannot be read here."""
    reason = str(error) or type(error).__name__
    message = f"the result of task {handle.name!r} cannot be read back from its worker process: {reason}"
    wrapped = TaskError(message, task=handle.name, hint="return plain data")
    wrapped.__cause__ = error
    return wrapped


def thread_died(handle: Handle[Any], error: BaseException) -> TaskError:
    """Return what became of a job whose thread died of something that was not the job's."""
    message = f"the thread of task {handle.name!r} died while it had it ({type(error).__name__}: {error})"
    ended = TaskError(message, task=handle.name, hint="it may have run to its end")
    ended.__cause__ = error
    return ended


def died(
    handle: Handle[Any], error: BaseException, *, code: int | None, first: bool, why: str | None = None
) -> WorkerDiedError:
    """Return how a worker went away while it ran a job.

    Args:
        handle: The job's task.
        error: How that showed.
        code: The process's exit code.
        first: Whether it was the worker's first job.
        why: Why the engine has ended it, if it has.
    """
    how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    message = f"the worker process of task {handle.name!r} ended while it ran ({why or how})"
    hint = "pass retry=Retry(…) if the task may be run again"
    if first and code == 1:
        hint = f"it never got as far as the first task: {GUARD_HINT}"
    wrapped = WorkerDiedError(message, task=handle.name, exit_code=code, hint=hint)
    wrapped.__cause__ = error
    return wrapped


def lost(handle: Handle[Any], why: str) -> WorkerDiedError:
    """Return how a worker of another engine, or its whole machine, went away while it ran a job."""
    message = f"the worker of task {handle.name!r} was lost while it ran ({why})"
    hint = "pass retry=Retry(…) if the task may be run again"
    return WorkerDiedError(message, task=handle.name, exit_code=None, hint=hint)


def no_worker(handle: Handle[Any], why: str) -> NoWorkerError:
    """Return why another engine has no worker for a task."""
    return NoWorkerError(f"there is no worker for task {handle.name!r}: {why}", task=handle.name)
