"""Quantiles of any number of values, within a stated relative error, in bounded space.

1. Bucket ``i`` counts the values ``gamma^(i-1) < value <= gamma^i``, with
   ``gamma = (1 + error) / (1 - error)``. Its middle, ``2 gamma^i / (gamma + 1)``, is
   within ``error`` of each of them.
2. ``quantile(q)`` is within ``error`` of the value of rank ``floor(q (count - 1))``,
   counted from the smallest, however many values came and in whatever order.
3. Values below ``LEAST`` count as zero. There are at most ``most`` buckets; when one
   more is needed the lowest ones become one, so that what suffers are the lowest
   quantiles: ``exact_from`` says up to which value rule 2 no longer holds.
4. Merging is exact: it does not matter which sketch a value went to.

Source: C. Masson, J. Rim and H. Lee, "DDSketch: A Fast and Fully-Mergeable Quantile
Sketch with Relative-Error Guarantees", PVLDB 12(12), 2019.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tenire.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ERROR", "LEAST", "MOST_BUCKETS", "QuantileSketch"]

ERROR = 0.01
LEAST = 1e-9
MOST_BUCKETS = 2048
"""With an error of 1 % these span eighteen powers of ten."""

_TOO_LARGE = 1e300  # so that no bound of a bucket is beyond what a float can hold
_FOLDED = 8  # one in so many buckets is folded at a time, so that it costs nothing for most values


class QuantileSketch:
    """Counts values in buckets that grow with the values.

    Args:
        error: The relative error, above 0 and below 1.
        most: Buckets at the most, at least 2.

    Attributes:
        error: As given.
        count: Values that came.
        total: Their sum.
        minimum: The smallest of them; infinity if there are none.
        maximum: The largest of them; minus infinity if there are none.
        exact_from: Quantiles above this value keep the error; 0 while all of them do.

    Raises:
        ConfigError: If an argument is impossible.
    """

    __slots__ = (
        "_buckets", "_gamma", "_most", "_per_log", "_zeros", "count", "error", "exact_from", "maximum", "minimum",
        "total",
    )  # fmt: skip

    def __init__(self, error: float = ERROR, *, most: int = MOST_BUCKETS) -> None:
        if not 0 < error < 1:
            message = f"the error of a quantile sketch must be above 0 and below 1, got {error!r}"
            raise ConfigError(message, key="error")
        if most < 2:
            message = f"a quantile sketch needs 2 buckets at least, got {most!r}"
            raise ConfigError(message, key="most")
        self.error = error
        self._gamma = (1 + error) / (1 - error)
        self._per_log = 1 / math.log(self._gamma)
        self._most = most
        self._buckets: dict[int, int] = {}
        self._zeros = 0
        self.count = 0
        self.total = 0.0
        self.minimum = math.inf
        self.maximum = -math.inf
        self.exact_from = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count a value, ``times`` times.

        Raises:
            ConfigError: If the value is negative, or no number of a size that occurs.
        """
        # One comparison for both, since it stands on a busy path; NaN fails it too.
        if not 0 <= value < _TOO_LARGE:
            message = f"a quantile sketch takes numbers from 0 and below {_TOO_LARGE:g}, got {value!r}"
            raise ConfigError(message, key="value")
        self.count += times
        self.total += value * times
        if value < self.minimum:
            self.minimum = value
        if value > self.maximum:
            self.maximum = value
        if value < LEAST:
            self._zeros += times
            return
        buckets = self._buckets
        index = math.ceil(math.log(value) * self._per_log)
        if index in buckets:
            buckets[index] += times
            return
        buckets[index] = times
        if len(buckets) > self._most:
            self._fold()

    def merge(self, other: QuantileSketch) -> None:
        """Take in all that another sketch has counted; that one stays as it is.

        Raises:
            ConfigError: If the errors differ.
        """
        if other.error != self.error:
            message = f"sketches of one error can be merged, got {self.error!r} and {other.error!r}"
            raise ConfigError(message, key="error")
        for index, times in other._buckets.items():
            self._buckets[index] = self._buckets.get(index, 0) + times
        self._zeros += other._zeros
        self.count += other.count
        self.total += other.total
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        self.exact_from = max(self.exact_from, other.exact_from)
        if len(self._buckets) > self._most:
            self._fold()

    def copy(self) -> QuantileSketch:
        """Return another sketch that has counted the same."""
        twin = QuantileSketch(self.error, most=self._most)
        twin.merge(self)
        return twin

    def quantile(self, q: float) -> float | None:
        """Return the value below which a part ``q`` (0 to 1) of the values lies; ``None`` without values."""
        return self.quantiles((q,))[q]

    def quantiles(self, qs: Iterable[float]) -> Mapping[float, float | None]:
        """Return several quantiles at once; see ``quantile``.

        Raises:
            ConfigError: If one of them is not from 0 to 1.
        """
        wanted = sorted(set(qs))
        if wanted and not 0 <= wanted[0] <= wanted[-1] <= 1:
            message = f"a quantile is asked for with a number from 0 to 1, got {wanted!r}"
            raise ConfigError(message, key="q")
        if not self.count:
            return dict.fromkeys(wanted)
        found: dict[float, float | None] = {}
        ordered = iter(sorted(self._buckets.items()))
        seen, value = self._zeros, 0.0
        for q in wanted:
            rank = math.floor(q * (self.count - 1))
            while seen <= rank:
                index, times = next(ordered)
                seen += times
                value = 2 * self._gamma**index / (self._gamma + 1)
            # The extremes are known exactly; nothing is beyond them.
            found[q] = min(max(value, self.minimum), self.maximum)
        return found

    def _fold(self) -> None:
        """Make the lowest buckets one (rule 3)."""
        buckets = self._buckets
        ordered = sorted(buckets)
        most = self._most - self._most // _FOLDED
        *low, into = ordered[: len(ordered) - most + 1]
        for index in low:
            buckets[into] += buckets.pop(index)
        self.exact_from = max(self.exact_from, self._gamma**into)

    def check(self) -> None:
        """Verify the rules."""
        assert self._zeros + sum(self._buckets.values()) == self.count
        assert all(times > 0 for times in self._buckets.values())
        assert len(self._buckets) <= self._most
        assert (self.count == 0) == (self.minimum == math.inf) == (self.maximum == -math.inf)
        if self.count:
            slack = 1e-9 * max(1.0, self.total)
            assert self.minimum * self.count - slack <= self.total <= self.maximum * self.count + slack
