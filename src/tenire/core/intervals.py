"""How often a periodic job runs: less often the more the machine is loaded.

1. The interval is ``base * 2 ** level``, kept between ``minimum`` and ``maximum``.
2. It grows at once, and shrinks by a fifth at each run, so that what recovers is
   not met by every job at once.
3. Each wait is drawn within a tenth of it, and still between the bounds: jobs that
   began together do not stay together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.errors import ConfigError

if TYPE_CHECKING:
    import random

__all__ = ["AdaptiveInterval"]

_JITTER = 0.1
_SHRINK = 0.8


class AdaptiveInterval:
    """The interval of one periodic job, seconds.

    Args:
        base: The interval at a normal level.
        minimum: Never less than this; default: the base.
        maximum: Never more than this; default: eight times the base.
        rng: Where the chance comes from.

    Attributes:
        interval: The interval now, without the chance.

    Raises:
        ConfigError: If the bounds are not positive, or not in order.
    """

    __slots__ = ("_base", "_maximum", "_minimum", "_rng", "interval")

    def __init__(
        self, base: float, *, rng: random.Random, minimum: float | None = None, maximum: float | None = None
    ) -> None:
        self._base = base
        self._minimum = base if minimum is None else minimum
        self._maximum = 8 * base if maximum is None else maximum
        if not 0 < self._minimum <= self._maximum < float("inf"):
            message = (
                "an interval needs bounds in order, 0 < minimum <= maximum seconds, "
                f"got {self._minimum!r} and {self._maximum!r}"
            )
            raise ConfigError(message, key="period")
        self._rng = rng
        self.interval = self._clamped(base)

    def next(self, level: int) -> float:
        """Return the seconds until the next run.

        Args:
            level: 0 for a machine at rest; each level doubles the interval.
        """
        wanted = self._clamped(self._base * 2.0**level)
        self.interval = max(wanted, self.interval * _SHRINK)
        return self._clamped(self.interval * self._rng.uniform(1 - _JITTER, 1 + _JITTER))

    def _clamped(self, interval: float) -> float:
        return min(self._maximum, max(self._minimum, interval))

    def check(self) -> None:
        """Verify rule 1's bounds."""
        assert self._minimum <= self.interval <= self._maximum
