"""Waits until a page may be asked for: its host allows it, and it is its host's turn."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from tenire.browser.errors import RobotsError
from tenire.browser.urls import host_of, is_page, normal
from tenire.core.politeness import Politeness
from tenire.resilience.timing import sleep_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tenire.browser.robots import Robots
    from tenire.clock import Clock

__all__ = ["Manners"]

_MOST_DELAY_S = 60.0
"""More than that is no wish for a pause but for no visits; those are what ``Disallow`` is for."""
_BUSY_S = 30.0


class Manners:
    """The shell around ``core.politeness``.

    Args:
        delay: Seconds between two visits of a host that says nothing else.
        at_once: Most visits of a host at the same time.
        robots: What hosts allow, or ``None`` if it does not matter.
        clock: For the delays.
    """

    def __init__(self, *, delay: float, at_once: int, robots: Robots | None, clock: Clock) -> None:
        self._core = Politeness(delay=delay, at_once=at_once)
        self._robots = robots
        self._clock = clock
        self._left: dict[str, asyncio.Event] = {}

    @asynccontextmanager
    async def turn(self, url: str) -> AsyncIterator[None]:
        """Wait for the turn of a page, and hold it while the block runs.

        Raises:
            RobotsError: If its host does not allow it.
        """
        host = host_of(url)
        if self._robots is not None:
            delay = await self._robots.require(url)
            self._core.slow_down(host, min(delay, _MOST_DELAY_S), self._clock.now())
        while (when := self._core.reserve(host, now := self._clock.now())) != now:
            if when == math.inf:
                await self._left.setdefault(host, asyncio.Event()).wait()
            else:
                await sleep_until(when, self._clock.now)
        try:
            yield
        finally:
            self._core.leave(host)
            if (event := self._left.pop(host, None)) is not None:
                event.set()

    async def require(self, url: str, led_to: str) -> None:
        """Check that a page may be read where it led to: what one host lets pass, another one may forbid.

        Args:
            url: The address that was asked for.
            led_to: Where that led; an empty text if it is not known.

        Raises:
            RobotsError: If its host does not allow it.
        """
        if self._robots is None or not is_page(led_to) or normal(led_to) == url:
            return
        try:
            await self._robots.require(normal(led_to))
        except RobotsError as error:
            raise RobotsError(
                f"{url} leads on: {error}", url=url, temporary=error.temporary, hint=error.hint
            ) from error

    def note(self, url: str, status: int, retry_after: str) -> None:
        """Leave a host alone for a while that answered that it has too much to do."""
        if status not in (429, 503):
            return
        seconds = _BUSY_S
        with suppress(ValueError):  # a date, or nothing
            seconds = max(0.0, float(retry_after))
        if math.isfinite(seconds):
            now = self._clock.now()
            self._core.leave_alone(host_of(url), now + min(seconds, _MOST_DELAY_S), now)
