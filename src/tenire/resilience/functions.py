"""What a function is called, and whether its calls are awaited."""

from __future__ import annotations

import functools
import inspect
from typing import Any

__all__ = ["is_async", "is_generator", "name_of"]


def name_of(fn: Any) -> str:
    """Return the name of a function, or of what it is a part of, for people."""
    inner = _inner(fn)
    name: str = getattr(inner, "__qualname__", None) or type(inner).__qualname__
    return name.rpartition("<locals>.")[2]


def is_async(fn: Any) -> bool:
    """Return whether it is a coroutine function, or an object that is called like one."""
    inner = _inner(fn)
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(getattr(inner, "__call__", None))  # noqa: B004


def is_generator(fn: Any) -> bool:
    """Return whether a call of it makes a generator."""
    inner = _inner(fn)
    return inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner)


def _inner(fn: Any) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn
