"""What calls of one stage cost: a fixed part for each call, and a part for each item in it.

A straight line through the calls seen, ``seconds = fixed + each * items``, by least squares in
which each call weighs ``FADING`` times as much as the one after it. Rules:

1. Both parts are never negative: a line that would need a negative one is drawn through the
   origin, or flat.
2. Where all calls had about the same size, a line says nothing about its parts. The fixed part
   stays what it was taken for before, and the rest is divided by the items.
3. With fewer than ``ENOUGH`` calls there is no opinion.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ENOUGH", "FADING", "StageCost"]

FADING = 31 / 32
ENOUGH = 4

_TELLING = 0.01
"""Least variance of the sizes, as a part of their mean squared, from which a line is believed."""

_SUMS = 5


class StageCost:
    """What calls of one stage cost.

    Args:
        sums: What ``sums`` of an earlier one was, or nothing. What is no such thing is ignored.

    Attributes:
        calls: How many were seen, the earlier ones' too.
        fixed: Seconds that a call costs however small it is.
        each: Seconds that each item costs.
    """

    __slots__ = ("_sums", "calls", "each", "fixed")

    def __init__(self, sums: Sequence[float] = ()) -> None:
        self.calls = 0
        self.fixed = 0.0
        self.each = 0.0
        self._sums = [0.0] * _SUMS
        if len(sums) == _SUMS + 2 and all(isfinite(value) and value >= 0 for value in sums):
            self._sums = list(sums[:_SUMS])
            self.calls = int(sums[_SUMS])
            self.fixed = sums[_SUMS + 1]
            self._draw()

    @property
    def known(self) -> bool:
        """Whether there is an opinion (rule 3)."""
        return self.calls >= ENOUGH

    @property
    def sums(self) -> list[float]:
        """All that it knows, for the next one."""
        return [*self._sums, float(self.calls), self.fixed]

    def observe(self, items: float, seconds: float) -> None:
        """Take in one call.

        Args:
            items: What was in it, more than 0; otherwise it is ignored.
            seconds: How long it took.
        """
        if not (items > 0 and seconds >= 0 and isfinite(items) and isfinite(seconds)):
            return
        new = (1.0, items, seconds, items * items, items * seconds)
        self._sums = [FADING * old + value for old, value in zip(self._sums, new, strict=True)]
        self.calls += 1
        self._draw()

    def seconds(self, items: float) -> float:
        """Return what a call with so many items costs, as far as is known."""
        return self.fixed + self.each * items

    def _draw(self) -> None:
        weight, items, seconds, squares, products = self._sums
        if not weight or not items:
            return
        mean_items, mean_seconds = items / weight, seconds / weight
        variance = squares / weight - mean_items**2
        if variance < _TELLING * mean_items**2:
            self.fixed = min(self.fixed, mean_seconds)  # rule 2
            self.each = (mean_seconds - self.fixed) / mean_items
            return
        each = (products / weight - mean_items * mean_seconds) / variance
        if each <= 0:
            self.fixed, self.each = mean_seconds, 0.0
        elif mean_seconds < each * mean_items:
            self.fixed, self.each = 0.0, products / squares
        else:
            self.fixed, self.each = mean_seconds - each * mean_items, each
