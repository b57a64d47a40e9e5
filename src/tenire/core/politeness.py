"""When the next page of a host may be asked for.

1. Between the beginnings of two visits of a host there is at least its delay.
2. At most ``at_once`` visits of a host are under way at the same time.
3. A host that asked for time is left alone until then.
4. What one host asks for holds up no other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Politeness"]

_MOST_IDLE = 1024
"""Hosts that are remembered without need before those are forgotten."""


@dataclass(slots=True)
class _Host:
    delay: float
    began_at: float = -math.inf
    alone_until: float = -math.inf
    inside: int = 0

    @property
    def free_at(self) -> float:
        return max(self.began_at + self.delay, self.alone_until)


class Politeness:
    """Decides; whoever asks waits.

    Args:
        delay: Seconds between two visits of a host that says nothing else.
        at_once: Most visits of a host at the same time.
    """

    def __init__(self, *, delay: float, at_once: int) -> None:
        self._delay = delay
        self._at_once = at_once
        self._hosts: dict[str, _Host] = {}

    def reserve(self, host: str, now: float) -> float:
        """Begin a visit.

        Args:
            host: The host.
            now: Seconds on a clock that never goes back.

        Returns:
            ``now`` if the visit may begin; it has begun then. Otherwise the earliest time at
            which asking again can help; infinity if a visit has to end first.
        """
        found = self._host(host, now)
        if found.inside >= self._at_once:
            return math.inf
        if found.free_at > now:
            return found.free_at
        found.inside += 1
        found.began_at = now
        return now

    def leave(self, host: str) -> None:
        """End a visit."""
        self._hosts[host].inside -= 1

    def slow_down(self, host: str, delay: float, now: float) -> None:
        """Take a longer delay from now on, as the host asks for; a shorter one changes nothing."""
        found = self._host(host, now)
        found.delay = max(found.delay, delay)

    def leave_alone(self, host: str, until: float, now: float) -> None:
        """Begin no visit of a host before a time."""
        found = self._host(host, now)
        found.alone_until = max(found.alone_until, until)

    def _host(self, host: str, now: float) -> _Host:
        found = self._hosts.get(host)
        if found is None:
            if len(self._hosts) >= _MOST_IDLE:
                self._forget(now)
            found = self._hosts[host] = _Host(self._delay)
        return found

    def _forget(self, now: float) -> None:
        # Not those that asked for a longer delay: it was told once.
        idle = [
            name
            for name, host in self._hosts.items()
            if not host.inside and host.free_at <= now and host.delay == self._delay
        ]
        for name in idle:
            del self._hosts[name]

    def check(self) -> None:
        """Verify the rules."""
        assert all(0 <= host.inside <= self._at_once for host in self._hosts.values())
        assert all(host.delay >= self._delay for host in self._hosts.values())
