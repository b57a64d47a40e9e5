"""Something that is to happen at the earliest of several times."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.timer.timeout import Timeout
    from tenire.concurrency.timer.timer import UniversalTimer

__all__ = ["Alarm"]


class Alarm:
    """Calls one function at the earliest of the times that it was set to; on the loop's thread."""

    __slots__ = ("__weakref__", "_at", "_call", "_timeout", "_timer")

    def __init__(self, timer: UniversalTimer, call: Callable[[], object]) -> None:
        self._timer = timer
        self._call = call
        self._timeout: Timeout | None = None
        self._at = 0.0

    def set(self, when: float) -> None:
        """Make sure that it rings at ``when`` seconds, or has rung before."""
        if self._timeout is not None:
            if self._at <= when:
                return
            self._timeout.cancel()
        self._at = when
        self._timeout = self._timer.at(when, self._ring)

    def cancel(self) -> None:
        """Do not ring."""
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    def _ring(self) -> None:
        self._timeout = None
        self._call()
