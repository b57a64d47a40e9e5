"""What is known about the capacity of a server: how likely each capacity is.

With ``n`` calls in flight, a server that works on ``c`` at a time answers in a time
that does not depend on ``n`` while ``n <= c``, and grows with ``n / c`` beyond
(Little's law). So the logarithm of the response time is a hinge,
``level + slope * max(0, log n - log c)``, whose level (the service time) is unknown
and drifts. Each hypothesis, a capacity and a slope, follows the level with a Kalman
filter of its own; how well it foretold what was then measured is its likelihood
(multiple-model estimation: D. T. Magill, IEEE Trans. Automatic Control 10, 1965).
Nothing here is a minimum over time: every baseline of that kind is biased by noise,
and by a service time that changes.

A queue lengthens short calls more than long ones, so the slope may be above 1; of
a server that is shared with others one client sees only its part, so it may be below.

1. Old evidence fades: a capacity may change at any time. It fades towards "near the
   number of calls that is aimed at", not towards "anything is possible".
2. One measurement weighs ``MOST_EVIDENCE`` nats at most: an outlier is no proof.
3. What no hypothesis foretold is a change. It is either of the capacity or of the
   service time, so both remain possible, the former (the level stays) a bit more likely.
4. ``spread >= 0``, ``0 <= overloaded <= 1``, and the likeliest hypothesis has weight 1.
"""

from __future__ import annotations

from math import exp, isfinite, log, sqrt

__all__ = ["MOST_EVIDENCE", "CapacityBelief"]

MOST_EVIDENCE = 5.0
_STEP = log(1.2)  # between neighbouring capacities; what lies between them is interpolated
_SLOPES = ((2.5, 0.0), (1.0, 0.0), (0.4, -0.5))  # slope, and how likely it is beforehand (log)
_MEMORY = 0.97  # of the evidence remains from one measurement to the next
_NEAR = 0.8  # width of "near", in logarithms
_LEAST_DRIFT, _MOST_DRIFT = 0.015**2, 0.03**2  # how far the level moves between two measurements
_SURPRISE = 8.0  # nats that the best hypothesis is off: four standard deviations
_KEPT = 0.6  # of the evidence after a change
_STAYED = 1.5  # nats in favour of a level that did not change
_TOO_MANY = 0.22  # calls beyond the capacity that count as overload, in logarithms
_NEGLIGIBLE = -12.0  # a weight not worth computing


class CapacityBelief:
    """How likely each capacity between two bounds is.

    Attributes:
        mean: Expected logarithm of the capacity.
        spread: Its standard deviation.
        overloaded: Chance that far more is in flight than the capacity, averaged over time.
        known: Whether anything was measured yet.
    """

    __slots__ = (
        "_capacities", "_faded", "_levels", "_prior", "_slopes", "_uncertainty", "_weights",
        "known", "mean", "overloaded", "spread",
    )  # fmt: skip

    def __init__(self, minimum: int, maximum: int) -> None:
        lowest, highest = log(minimum * 0.9), log(maximum * 1.1)
        grid = [lowest + _STEP * place for place in range(int((highest - lowest) / _STEP) + 2)]
        self._capacities = [capacity for _ in _SLOPES for capacity in grid]
        self._slopes = [slope for slope, _ in _SLOPES for _ in grid]
        self._prior = [prior for _, prior in _SLOPES for _ in grid]
        self._weights = self._prior  # logarithms; never changed in place
        self._faded = [(1.0 - _MEMORY) * prior for prior in self._prior]
        self._levels: list[float] = []
        self._uncertainty = 1.0  # variance of a level; the same for all
        self.known = False
        self.mean, self.spread, self.overloaded = 0.0, 1.0, 0.0

    def observe(self, load: float, time: float, noise: float, *, aim: float, doubt: float = 0.0) -> bool:
        """Take in one measurement and return whether it was a surprise.

        Args:
            load: Logarithm of the calls in flight.
            time: Logarithm of the response time.
            noise: Variance of ``time``.
            aim: Logarithm of the calls that are aimed at; what is forgotten fades towards it.
            doubt: How far below ``aim`` it rather fades to.
        """
        if not self.known:
            self.known = True
            self._levels, self._uncertainty = self._explain(load, time), noise
            self._conclude(aim)
            return False
        near = aim - doubt
        # Everything below is done for each hypothesis: the loops are what a call costs.
        errors = [
            time - level - slope * (load - capacity) if load > capacity else time - level
            for level, capacity, slope in zip(self._levels, self._capacities, self._slopes, strict=True)
        ]
        squares = [error * error for error in errors]
        # Few or variable calls take long to measure, and the level moves meanwhile.
        total = self._uncertainty + max(_LEAST_DRIFT, min(_MOST_DRIFT, noise / 4.0)) + noise
        scale = 0.5 / total
        best = min(squares)
        surprise = best * scale > _SURPRISE
        if surprise:
            self._start_anew(load, time, noise, near)
        else:
            gain = (total - noise) / total
            self._levels = [level + gain * error for level, error in zip(self._levels, errors, strict=True)]
            self._uncertainty = gain * noise
            worst, fade = best + MOST_EVIDENCE / scale, 1.0 - _MEMORY
            narrow = 0.5 * fade / (_NEAR * _NEAR)
            self._weights = [
                _MEMORY * weight
                + prior
                - (capacity - near) * (capacity - near) * narrow
                - (square if square < worst else worst) * scale
                for weight, prior, capacity, square in zip(
                    self._weights, self._faded, self._capacities, squares, strict=True
                )
            ]
        self._conclude(aim)
        return surprise

    def _explain(self, load: float, time: float) -> list[float]:
        """Return the level with which each hypothesis explains a measurement fully."""
        return [
            time - slope * max(0.0, load - capacity)
            for capacity, slope in zip(self._capacities, self._slopes, strict=True)
        ]

    def _start_anew(self, load: float, time: float, noise: float, near: float) -> None:
        """Let every hypothesis explain a measurement that none foretold (rule 3)."""
        odds = [exp(weight) for weight in self._weights]
        before = sum(odd * level for odd, level in zip(odds, self._levels, strict=True)) / sum(odds)
        self._levels, self._uncertainty = self._explain(load, time), noise + 0.01
        self._weights = [
            _KEPT * weight
            + (1.0 - _KEPT) * (prior - 0.5 * ((capacity - near) / _NEAR) ** 2)
            - _STAYED * min(1.0, ((level - before) / 0.3) ** 2 / 2)
            for weight, prior, capacity, level in zip(
                self._weights, self._prior, self._capacities, self._levels, strict=True
            )
        ]

    def _conclude(self, aim: float) -> None:
        top = max(self._weights)
        self._weights = [weight - top for weight in self._weights]
        bound = aim - _TOO_MANY
        total = first = second = below = 0.0
        for capacity, weight in zip(self._capacities, self._weights, strict=True):
            if weight > _NEGLIGIBLE:
                odds = exp(weight)
                total += odds
                odds *= capacity
                first += odds
                second += odds * capacity
                if capacity < bound:
                    below += odds / capacity
        self.mean = first / total
        self.spread = sqrt(max(0.0, second / total - self.mean * self.mean))
        self.overloaded += 0.2 * (below / total - self.overloaded)

    def check(self) -> None:
        """Verify the rules."""
        assert isfinite(self.mean)
        assert self.spread >= 0.0
        assert -1e-9 <= self.overloaded <= 1.0 + 1e-9
        assert self._uncertainty >= 0.0
        if self.known:
            assert all(isfinite(level) for level in self._levels)
            assert max(self._weights) <= 1e-9
