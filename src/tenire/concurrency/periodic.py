"""A job that runs again and again: less often under load."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.concurrency.timer import Timeout, UniversalTimer
    from tenire.core.intervals import AdaptiveInterval
    from tenire.core.load import Level

__all__ = ["Periodic"]

_EARLIER = 0.1
"""Part of the interval by which a job may run sooner, if something else wakes the loop then."""


class Periodic:
    """One periodic job; made by ``Control.every``.

    Attributes:
        runs: How often it has run.
    """

    __slots__ = ("__weakref__", "_call", "_interval", "_level", "_timeout", "_timer", "runs")

    def __init__(
        self,
        timer: UniversalTimer,
        interval: AdaptiveInterval,
        level: Callable[[], Level],
        call: Callable[[], object],
    ) -> None:
        self._timer = timer
        self._interval = interval
        self._level = level
        self._call = call
        self._timeout: Timeout | None = None
        self.runs = 0
        self._arm()

    def cancel(self) -> None:
        """Run no more; on the loop's thread."""
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    @property
    def active(self) -> bool:
        """Whether it will run again."""
        return self._timeout is not None

    def _arm(self) -> None:
        wait = self._interval.next(self._level())
        # Not a bound method: the timer would hold it weakly, and a job that nobody
        # else keeps would end.
        self._timeout = self._timer.after((1 - _EARLIER) * wait, lambda: self._run(), slack=_EARLIER * wait)

    def _run(self) -> None:
        self.runs += 1
        # Armed first, so that a job that fails once runs again, and one that cancels
        # itself does not.
        self._arm()
        self._call()
