"""In which time a server counts the limit that it names, where it does not say: a minute, or a second.

Nearly all mean a minute. Some count by the second under the same header; taken for a
minute's, their limit would be used to a sixtieth. What gives it away is how soon the whole
limit is said to be back. For a minute's limit that is, with ``used`` units of it gone,

- a time that ends at the same second of every minute, if it is counted by the clock;
- a minute after the last call, if it is counted over the last minute;
- ``used / limit`` of a minute, the last call whole, if it comes back all the time.

1. A reply is *odd* if it fits none of these and fits a second: everything is back within one,
   and no more is gone than was sent within the last.
2. After ``ENOUGH`` odd replies, no two of which came together, it is a second.
3. The first reply that takes longer than a second to be back shows that it is more, and so
   does a refusal; and if ``LOOKED_AT`` replies have not shown it, nothing will. None of that
   is asked again until the server names another limit.
"""

from __future__ import annotations

import math

__all__ = ["ENOUGH", "LOOKED_AT", "SECOND", "AnnouncedWindow"]

SECOND = 1.0
ENOUGH = 6
LOOKED_AT = 60

_ROUNDED = 0.5
"""A second may be said to be so much longer: whoever rounds, rounds up, and the reply takes its time."""
_SPREAD_S = 2.0
"""By so much two times that a server says may differ and mean the same moment."""


class AnnouncedWindow:
    """What the replies that speak of one metric show.

    Args:
        window: Seconds that are meant, unless they show something else.

    Attributes:
        is_second: Whether the limit is one of a second.
        settled: Whether replies are looked at no more.
    """

    __slots__ = ("_limit", "_looked_at", "_odd", "_odd_at", "_over_at", "_window", "is_second", "settled")

    def __init__(self, window: float) -> None:
        self._window = window
        self._begin(None)

    def _begin(self, limit: int | None) -> None:
        self._limit = limit
        self._looked_at = self._odd = 0
        self._odd_at = -math.inf
        self._over_at: float | None = None  # when all was to be back, as the first of them said
        self.is_second = False
        self.settled = False

    def asks(self, limit: int) -> bool:
        """Return whether a reply that names this limit can still show anything."""
        return not self.settled or limit != self._limit

    def observe(self, limit: int, used: int, reset_s: float | None, lately: int, now: float) -> None:
        """Take in what a reply says.

        Args:
            limit: The limit that it names.
            used: Units of it that are gone.
            reset_s: Seconds until all of it is back, or ``None``.
            lately: Units that were sent from here within the last two seconds.
            now: Seconds on a clock that never goes back.
        """
        if not self.asks(limit):
            return
        if limit != self._limit:
            self._begin(limit)
        if reset_s is not None and reset_s > SECOND + _ROUNDED:
            self.deny()
            return
        self._looked_at += 1
        if reset_s is not None and self._is_odd(limit, used, reset_s, lately, now):
            self._odd += 1
        if self._odd >= ENOUGH:
            self.is_second = True
        self.settled = self.is_second or self._looked_at >= LOOKED_AT

    def deny(self) -> None:
        """Take in that it is not a second."""
        self.is_second = False
        self.settled = True

    def _is_odd(self, limit: int, used: int, reset_s: float, lately: int, now: float) -> bool:
        if not 0 < used <= lately or reset_s <= 0.0:
            return False
        comes_back = max(1, used - 1) * self._window / limit  # parts of a unit are not told
        rounded = 1.0 if reset_s == int(reset_s) else 0.05
        if reset_s >= 0.9 * comes_back - rounded or now < self._odd_at + _SPREAD_S:
            return False
        self._odd_at = now
        if self._over_at is None:
            self._over_at = now + reset_s
            return False
        apart = (now + reset_s - self._over_at) % self._window
        return min(apart, self._window - apart) > _SPREAD_S
