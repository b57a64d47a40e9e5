"""Failures that nobody has looked at: said once when the engine closes, never swallowed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from tenire.concurrency.endings import in_words

if TYPE_CHECKING:
    from tenire.concurrency.handle import Handle

__all__ = ["UnseenFailures"]

_MOST_KEPT = 1000
_MOST_NAMED = 5

_log = logging.getLogger("tenire.tasks")


class UnseenFailures:
    """Failed handles whose outcome was never asked for.

    Attributes:
        dropped: Failures that nobody has looked at, and that were not kept because there were too many.
    """

    __slots__ = ("_handles", "dropped")

    def __init__(self) -> None:
        self._handles: dict[Handle[Any], None] = {}
        self.dropped = 0

    def add(self, handle: Handle[Any]) -> None:
        """Note a failure."""
        if len(self._handles) < _MOST_KEPT:
            self._handles[handle] = None
        else:
            self.dropped += 1
            handle.dropped = True

    def discard(self, handle: Handle[Any]) -> None:
        """Note that somebody has seen a failure."""
        if handle in self._handles:
            del self._handles[handle]
        elif handle.was_dropped():
            handle.dropped = False
            self.dropped -= 1

    def report(self) -> None:
        """Log what nobody has seen, in one record."""
        total = len(self._handles) + self.dropped
        if not total:
            return
        shown = [
            f"{handle.name}: {type(handle.error).__name__}: {in_words(cast('BaseException', handle.error))}"
            for handle in list(self._handles)[:_MOST_NAMED]
        ]
        more = f" … and {total - len(shown)} more" if total > len(shown) else ""
        _log.error("%d task(s) failed and nobody awaited them: %s%s", total, "; ".join(shown), more)
        self._handles.clear()
        self.dropped = 0
