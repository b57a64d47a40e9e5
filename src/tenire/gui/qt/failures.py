"""What slots raise: never lost, and never the end of the application.

PySide6 hands what a plain slot raises to ``sys.excepthook`` and goes on; PyQt6 does so
too, but ends the program if nobody has put a hook there. What an ``async def`` slot
raises goes the same way, so that one hook sees all of it.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    Hook = Callable[[type[BaseException], BaseException, TracebackType | None], object]

__all__ = ["FailureHook", "report"]

_log = logging.getLogger("tenire.gui")


def report(error: BaseException) -> None:
    """Hand what code of the application has raised to ``sys.excepthook``."""
    sys.excepthook(type(error), error, error.__traceback__)


class FailureHook:
    """Sees what slots raise, logs it, tells it, and hands it on to the hook that was there.

    Args:
        tell: Called with each error, in the thread of the window.
    """

    def __init__(self, tell: Callable[[BaseException], object]) -> None:
        self._tell = tell
        self._before: Hook | None = None
        self._thread = threading.get_ident()
        self._telling = False

    def install(self) -> None:
        """Begin."""
        if self._before is None:
            self._before = sys.excepthook
            sys.excepthook = self._hook

    def remove(self) -> None:
        """End; if another one was put on top of it meanwhile, that stays."""
        before, self._before = self._before, None
        if before is not None and sys.excepthook == self._hook:
            sys.excepthook = before

    def _hook(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        # Removed, but still below the hook of somebody else: then it only hands on.
        installed = self._before is not None
        if installed and threading.get_ident() == self._thread and isinstance(error, Exception):
            _log.error("a slot failed: %s: %s", kind.__name__, error, exc_info=(kind, error, traceback))
            self._tell_once(error)
        (self._before or sys.__excepthook__)(kind, error, traceback)

    def _tell_once(self, error: BaseException) -> None:
        # Who is told may fail as well, which comes here again: that is logged and handed on, but not told.
        if self._telling:
            return
        self._telling = True
        try:
            self._tell(error)
        except Exception:  # noqa: BLE001 - PyQt6 raises here what PySide6 hands to the hook
            _log.exception("a slot that is told of failures failed")
        finally:
            self._telling = False
