"""Whether a function can go to a worker process, said when it is submitted.

A function is looked at once; what was found is kept as long as the function
lives. A module's functions, classes and built-ins travel as a reference, and the
pickled reference is kept too: it is the same for every call. Anything else (a
method with its object, a partial, a callable object) is pickled again with each
call, since its state may have changed.
"""

from __future__ import annotations

import pickle
import sys
import weakref
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_sendable", "reference_to"]

_LOOK_AT = 64 << 10
"""Bytes of a pickle after which an object counts as sendable: submitting must stay quick."""

_known: dict[int, tuple[weakref.ref[Any], bytes]] = {}
_known_owners: dict[int, tuple[weakref.ref[Any], bytes]] = {}
"""By identity, since a callable object need not be hashable. Only what can be sent is kept."""


class _EnoughError(Exception):
    """So much was pickled that the rest is left to the worker's thread."""


class _Measure:
    """A file that only counts."""

    def __init__(self) -> None:
        self._left = _LOOK_AT

    def write(self, data: Any, /) -> int:
        size = len(data)
        self._left -= size
        if self._left < 0:
            raise _EnoughError
        return size


def reference_to(fn: Callable[..., Any]) -> bytes:
    """Return the pickled reference to a function; empty if it is more than a reference.

    Raises:
        ConfigError: If the function cannot be sent to a worker process.
    """
    owner = fn.__self__ if type(fn) is MethodType else None
    known = _known.get(id(fn)) if owner is None else _known_owners.get(id(owner))
    if known is not None and known[0]() is (fn if owner is None else owner):
        return known[1]
    reference = _look_at(fn)
    if owner is None:
        _remember(_known, fn, reference)
    else:
        _remember(_known_owners, owner, reference)
    return reference


def check_sendable(fn: Callable[..., Any]) -> None:
    """Refuse a function that cannot be sent to a worker process.

    Raises:
        ConfigError: If it cannot; the message names it and the reason.
    """
    reference_to(fn)


def _remember(table: dict[int, tuple[weakref.ref[Any], bytes]], it: Any, reference: bytes) -> None:
    key = id(it)
    try:
        table[key] = weakref.ref(it, lambda _: table.pop(key, None)), reference
    except TypeError:  # takes no weak reference: it is looked at again each time
        return


def _look_at(fn: Callable[..., Any]) -> bytes:
    module = _module_of(fn)
    if module == "__main__" and not _main_can_be_imported():
        message = f"{_describe(fn)} cannot be sent to a worker process: it was defined in an interactive session"
        raise ConfigError(message, key="fn", hint='put it in a module and import it from there, or pass on="thread"')
    by_reference = _is_reference(fn)
    try:
        if by_reference:
            return pickle.dumps(fn, 5)
        pickle.Pickler(_Measure(), 5, buffer_callback=lambda _: None).dump(fn)
    except _EnoughError:
        pass
    except Exception as error:
        message = f"{_describe(fn)} cannot be sent to a worker process: {_reason(fn, error)}"
        hint = 'define it with def at the top level of a module, pass what it needs as arguments, or pass on="thread"'
        raise ConfigError(message, key="fn", hint=hint) from error
    return b""


def _is_reference(fn: Callable[..., Any]) -> bool:
    if type(fn) is BuiltinFunctionType:  # also the type of [].append, which is a method
        return fn.__self__ is None or isinstance(fn.__self__, ModuleType)
    return type(fn) is FunctionType or type(fn) is type


def _module_of(fn: Any) -> str | None:
    """Return the module that a worker has to import to call ``fn``."""
    if type(fn) is MethodType:
        fn = fn.__self__
    else:
        while (inner := getattr(fn, "func", None)) is not None and callable(inner):  # functools.partial
            fn = inner
    named = fn if isinstance(fn, (FunctionType, BuiltinFunctionType, type)) else type(fn)
    module = named.__module__
    return module if isinstance(module, str) else None


def _main_can_be_imported() -> bool:
    """Return whether a worker can import what runs here as ``__main__``; multiprocessing's rules."""
    main = sys.modules["__main__"]
    if getattr(getattr(main, "__spec__", None), "name", None) is not None:
        return True
    file = getattr(main, "__file__", None)
    return file is not None and Path(file).exists()


def _describe(fn: Any) -> str:
    name = getattr(fn, "__qualname__", None)
    if type(fn) is MethodType:
        return f"the method {name!r}"
    if name is None:
        return f"the {type(fn).__name__} object {fn!r:.200}"
    return f"the function {fn.__module__}.{name}"


def _reason(fn: Any, error: Exception) -> str:
    name = getattr(fn, "__qualname__", "")
    if type(fn) is MethodType:
        owner = fn.__self__
        named = owner.__qualname__ if isinstance(owner, type) else type(owner).__qualname__
        return f"its object, of type {named}, cannot be pickled ({error})"
    if "<lambda>" in name:
        return "a lambda has no name by which it could be imported there"
    if "<locals>" in name:
        return "it is defined inside another function, so it cannot be imported there"
    return str(error)
