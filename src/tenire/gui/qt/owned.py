"""Which coroutines belong to which widget: they end with it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from tenire.gui.binding import QtCore, is_alive
from tenire.gui.qt.failures import report

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Hashable

__all__ = ["Owned", "owned_by"]

_ATTRIBUTE = "_tenire_slots"
_free: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Owned] = weakref.WeakKeyDictionary()


class Owned:
    """The running coroutines of one owner.

    Attributes:
        gone: Whether the owner does not exist any more.
    """

    def __init__(self, owner: QtCore.QObject | None) -> None:
        self.gone = False
        self._tasks: dict[asyncio.Task[Any], Hashable] = {}
        if owner is not None:
            owner.destroyed.connect(self._end)

    def running(self, slot: Hashable) -> list[asyncio.Task[Any]]:
        """Return the tasks of one slot that have not ended."""
        return [task for task, of in self._tasks.items() if of == slot and not task.done()]

    def take_in(self, task: asyncio.Task[Any], slot: Hashable) -> None:
        """Keep a task until it ends; what it raises is reported, unless somebody awaits it."""
        self._tasks[task] = slot
        task.add_done_callback(self._ended)

    def _end(self, *_: object) -> None:
        self.gone = True
        for task in tuple(self._tasks):
            loop = task.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]
        if not task.cancelled():
            # A turn later: by then it has been raised where the task is awaited, if it is.
            task.get_loop().call_soon(self._tell, task)

    def _tell(self, task: asyncio.Task[Any]) -> None:
        if not task._log_traceback:  # noqa: SLF001 - whether nobody has taken the error
            return
        error = task.exception()
        # Cleaning up, a slot touches its widget, which does not exist any more; that is
        # no finding, and what Qt's bindings say of it is all that it can have been.
        if error is not None and not (self.gone and _says_gone(error)):
            report(error)


def owned_by(owner: QtCore.QObject | None, loop: asyncio.AbstractEventLoop) -> Owned:
    """Return what belongs to an owner; without one, to the application."""
    if owner is None:
        owned = _free.get(loop)
        if owned is None:
            owned = _free[loop] = Owned(None)
        return owned
    if not is_alive(owner):
        message = f"this {type(owner).__name__} does not exist any more, so its slot cannot start"
        raise RuntimeError(message)
    found: Owned | None = vars(owner).get(_ATTRIBUTE)
    if found is None:
        found = Owned(owner)
        setattr(owner, _ATTRIBUTE, found)
    return found


def _says_gone(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and "deleted" in str(error)
