"""What the hosts' ``robots.txt`` say (RFC 9309), each asked once a day."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tenire.browser.errors import AddressRefusedError, PageError, RobotsError
from tenire.browser.robots_rules import RobotsRules
from tenire.browser.urls import host_of, origin_of

if TYPE_CHECKING:
    from tenire.browser.looking import Looking
    from tenire.clock import Clock

__all__ = ["Robots"]

_FRESH_S = 24 * 3600.0
_FAILED_S = 60.0
_MOST_BYTES = 512 << 10
_MOST_HOSTS = 4096
_AGENT = "tenire"


@dataclass(slots=True)
class _Known:
    until: float
    rules: RobotsRules | None = None
    trouble: str = ""
    unreachable: bool = False


class Robots:
    """Knows what may be read of which host.

    Args:
        looking: Asks for the files.
        clock: For their age.
    """

    def __init__(self, looking: Looking, clock: Clock) -> None:
        self._looking = looking
        self._clock = clock
        self._rules: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def require(self, url: str) -> float:
        """Check that a page may be read; return the seconds that its host wants between two visits.

        Raises:
            RobotsError: If it may not.
            PageError: If its host cannot be reached at all.
            AddressRefusedError: If the host is not to be reached.
        """
        known = await self._rules_of(origin_of(url))
        if known.unreachable:
            raise PageError(f"{url} cannot be had: its host does not answer ({known.trouble})", url=url)
        if known.trouble:
            # "Unreachable" means that all is forbidden (RFC 9309, 2.3.1.4).
            message = f"{url} is not read: what its host allows cannot be found out ({known.trouble})"
            raise RobotsError(
                message, url=url, temporary=True, hint="try again later, or read it all the same with robots=False"
            )
        if known.rules is None:
            return 0.0
        parts = urlsplit(url)
        if not known.rules.allows(f"{parts.path}?{parts.query}" if parts.query else parts.path):
            message = f"{url} is not read: {origin_of(url)}/robots.txt does not allow it"
            raise RobotsError(message, url=url, hint="if the host is yours: robots=False")
        return known.rules.delay

    async def _rules_of(self, origin: str) -> _Known:
        async with self._asking.setdefault(origin, asyncio.Lock()):
            found = self._rules.get(origin)
            if found is None or found.until <= self._clock.now():
                self._rules.pop(origin, None)
                found = self._rules[origin] = await self._ask(origin)
                if len(self._rules) > _MOST_HOSTS:
                    del self._rules[next(iter(self._rules))]
        self._asking.pop(origin, None)
        return found

    async def _ask(self, origin: str) -> _Known:
        now = self._clock.now()
        try:
            answer = await self._looking.get(f"{origin}/robots.txt", max_bytes=_MOST_BYTES, cut=True)
        except AddressRefusedError:
            raise
        except PageError as error:
            return _Known(now + _FAILED_S, trouble=str(error), unreachable=True)
        if answer.status >= 500 or answer.status == 429:
            reason = f"{host_of(origin)} answers {answer.status} to robots.txt"
            return _Known(now + _FAILED_S, trouble=reason)
        if not 200 <= answer.status < 300:
            return _Known(now + _FRESH_S)  # there is none: all is allowed
        return _Known(now + _FRESH_S, rules=RobotsRules(answer.body.decode("utf-8", "replace"), _AGENT))
