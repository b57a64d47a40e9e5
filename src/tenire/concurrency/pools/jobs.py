"""What the engine and a worker tell each other: a job, and what became of it.

A job has the parts *reference · call · buffers*. A function that is a reference
goes in the first part and its arguments in the second; then the worker looks it
up once and knows it the next time. Otherwise the first part is empty and the
second holds function and arguments together, so that what they share stays shared.

An outcome has the parts *pickle · buffers*; its tag says which, and its number the
memory that the job needed (0: it was too short to look) and what the worker keeps; see
``memory.joined``.

======================  =======================================================
tag                     pickle
======================  =======================================================
``PLAIN``               the value, small and of built-in types
``VALUE``               the value
``RAISED``              the exception and the text of its traceback
``RAISED_UNSENDABLE``   an exception that cannot be pickled, in words; the text
``UNSENDABLE``          the type of a value that cannot be pickled; why; the text
``NO_FUNCTION``         why the function cannot be loaded; the text
``NO_ARGUMENTS``        why the arguments cannot be loaded; the text
======================  =======================================================
"""

from __future__ import annotations

import importlib
import pickle
import traceback
from typing import TYPE_CHECKING, Any, TypeAlias

from tenire.concurrency.pools.frames import dump
from tenire.concurrency.pools.plain import is_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.pools.frames import Message

__all__ = [
    "JOB",
    "NO_ARGUMENTS",
    "NO_FUNCTION",
    "PLAIN",
    "RAISED",
    "RAISED_UNSENDABLE",
    "UNSENDABLE",
    "VALUE",
    "import_all",
    "run_job",
]

JOB, PLAIN, VALUE, RAISED, RAISED_UNSENDABLE, UNSENDABLE, NO_FUNCTION, NO_ARGUMENTS = range(8)

Outcome: TypeAlias = tuple[int, list[bytes | memoryview]]

_MOST_FUNCTIONS = 1024

_functions: dict[bytes, Callable[..., Any]] = {}


def import_all(modules: tuple[str, ...]) -> None:
    """Import modules, in the worker, so that its first task does not have to."""
    for name in modules:
        importlib.import_module(name)


def run_job(job: Message) -> Outcome:
    """Run a job, in the worker, and return its outcome's tag and parts."""
    reference, call, *buffers = job.parts
    try:
        fn = _function(bytes(reference)) if reference else None
    except BaseException as error:  # noqa: BLE001 - its module runs when it is imported
        return _in_words(NO_FUNCTION, error, _words(error))
    try:
        args = pickle.loads(call, buffers=buffers)
        if fn is None:
            fn, args = args
    except BaseException as error:  # noqa: BLE001 - unpickling runs foreign code
        return _in_words(NO_ARGUMENTS, error, _words(error))
    # What the function lets go of must be free while it runs.
    del job, call, buffers
    return _outcome(fn, args)


def _function(reference: bytes) -> Callable[..., Any]:
    fn = _functions.get(reference)
    if fn is None:
        fn = pickle.loads(reference)
        if len(_functions) >= _MOST_FUNCTIONS:
            _functions.clear()
        _functions[reference] = fn
    return fn


def _outcome(fn: Callable[..., Any], args: tuple[Any, ...]) -> Outcome:
    try:
        value = fn(*args)
    except BaseException as error:  # noqa: BLE001 - the job's outcome, SystemExit included
        return _raised(error)
    del args
    try:
        return (PLAIN if is_plain((value,)) else VALUE), dump(value)
    except BaseException as error:  # noqa: BLE001 - pickling runs foreign code
        kind = type(value)
        return _in_words(UNSENDABLE, error, f"{kind.__module__}.{kind.__qualname__}", _words(error))


def _raised(error: BaseException) -> Outcome:
    text = _text(error)
    # One frame refers to the other; and the traceback would not survive pickling.
    error.__traceback__ = None
    try:
        parts = dump((error, text))
        # Many exceptions pickle but do not unpickle (a constructor with more
        # arguments than ``args``); that must show here, not in the engine.
        pickle.loads(parts[0], buffers=parts[1:])
    except BaseException:  # noqa: BLE001 - pickling runs foreign code
        return RAISED_UNSENDABLE, dump((_words(error), text))
    return RAISED, parts


def _in_words(tag: int, error: BaseException, *words: str) -> Outcome:
    return tag, dump((*words, _text(error)))


def _text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _words(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()
