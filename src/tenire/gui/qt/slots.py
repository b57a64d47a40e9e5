"""``async def`` slots: a signal starts a coroutine in the GUI thread."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

from tenire.errors import ConfigError
from tenire.gui.binding import QtCore
from tenire.gui.qt.loop import gui_loop
from tenire.gui.qt.owned import owned_by

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    Again = Literal["run", "ignore", "restart"]

__all__ = ["async_slot"]

P = ParamSpec("P")
T = TypeVar("T")

_AGAIN = ("run", "ignore", "restart")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@overload
def async_slot(function: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[..., asyncio.Task[T]]: ...


@overload
def async_slot(
    *, again: Again = ..., owner: QtCore.QObject | None = ...
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[..., asyncio.Task[T]]]: ...


def async_slot(
    function: Callable[..., Coroutine[Any, Any, Any]] | None = None,
    /,
    *,
    again: Again = "run",
    owner: QtCore.QObject | None = None,
) -> Any:
    """Make a slot of a coroutine function: ``button.clicked.connect(self.load)``.

    The coroutine runs in the GUI thread, so it may touch widgets, and does not hold up
    the window while it awaits: a task of the engine, a signal, ``asyncio.sleep``. Calling
    the slot starts it and returns its task.

    A slot that is a method of a widget is cancelled when the widget is destroyed, any
    other one when the application quits; what it awaits of the engine is cancelled with
    it. What it raises goes to ``sys.excepthook``, like what plain slots raise, unless
    whoever called it awaits it. It is given as many of the signal's arguments as it takes.

    Args:
        function: The coroutine function.
        again: When the signal comes while it runs: ``run`` another one beside it,
            ``ignore`` the signal, or ``restart``: cancel the one that runs.
        owner: With what it ends, for a function that is no method.

    Raises:
        ConfigError: If it is no coroutine function, or an argument is impossible.
    """
    if again not in _AGAIN:
        message = f"again must be one of {', '.join(_AGAIN)}, got {again!r}"
        raise ConfigError(message, key="again")
    if function is None:
        return functools.partial(_made, again=again, owner=owner)
    return _made(function, again=again, owner=owner)


def _made(
    function: Callable[..., Coroutine[Any, Any, Any]], *, again: Again, owner: QtCore.QObject | None
) -> Callable[..., asyncio.Task[Any]]:
    if not inspect.iscoroutinefunction(function):
        message = f"an async slot must be an async def function, got {function!r}"
        raise ConfigError(message, key="function")
    most = _most_arguments(function)
    parent = function.__qualname__.rpartition(".")[0]
    is_method = bool(parent) and not parent.endswith("<locals>")

    @functools.wraps(function)
    def slot(*arguments: Any, **keywords: Any) -> asyncio.Task[Any]:
        loop = gui_loop()
        first = arguments[0] if is_method and arguments else None
        owned = owned_by(owner if owner is not None else first if isinstance(first, QtCore.QObject) else None, loop)
        key = (slot, id(first))
        running = owned.running(key)
        if running and again == "ignore":
            return running[-1]
        if again == "restart":
            for task in running:
                task.cancel()
        task = loop.create_task(function(*arguments[:most], **keywords), name=function.__qualname__)
        owned.take_in(task, key)
        return task

    return slot


def _most_arguments(function: Callable[..., object]) -> int | None:
    """Return how many positional arguments it takes; ``None`` for any number."""
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters):
        return None
    return sum(each.kind in _POSITIONAL for each in parameters)
