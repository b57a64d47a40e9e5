"""How long an answer takes: a distribution, written as its quantile function.

The chance of a call is one number between 0 and 1, drawn from its content; its
latency is the quantile at that number, so that the same call always takes as long.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Quantile = Callable[[float], float]

__all__ = ["latency"]

_NORMAL = NormalDist()


def _constant(seconds: float) -> Quantile:
    return lambda _chance: seconds


def _uniform(low: float, high: float) -> Quantile:
    return lambda chance: low + (high - low) * chance


def _exponential(mean: float) -> Quantile:
    return lambda chance: -mean * math.log1p(-chance)


def _lognormal(mean: float, sigma: float) -> Quantile:
    location = math.log(mean) - sigma * sigma / 2
    return lambda chance: math.exp(location + sigma * _NORMAL.inv_cdf(chance))


def _pareto(mean: float, alpha: float) -> Quantile:
    least = mean * (alpha - 1) / alpha
    return lambda chance: least * (1 - chance) ** (-1 / alpha)


_KINDS: dict[str, tuple[Callable[..., Quantile], int, str]] = {
    "constant": (_constant, 1, "constant:SECONDS"),
    "uniform": (_uniform, 2, "uniform:LOW:HIGH"),
    "exponential": (_exponential, 1, "exponential:MEAN"),
    "lognormal": (_lognormal, 2, "lognormal:MEAN:SIGMA"),
    "pareto": (_pareto, 2, "pareto:MEAN:ALPHA"),
}


def latency(what: float | str | Quantile) -> Quantile:
    """Return the quantile function of a latency.

    Args:
        what: Seconds; a distribution such as ``"lognormal:0.2:0.5"``; or a function
            that turns a number between 0 and 1 into seconds.

    Raises:
        ValueError: If it is none of these, or its numbers are impossible.
    """
    if callable(what):
        return what
    kind, *words = f"constant:{what}".split(":") if isinstance(what, int | float) else what.split(":")
    forms = ", ".join(form for _, _, form in _KINDS.values())
    if kind not in _KINDS or len(words) != _KINDS[kind][1]:
        msg = f"latency must be seconds or one of {forms}, got {what!r}"
        raise ValueError(msg)
    make, _, form = _KINDS[kind]
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        msg = f"latency must be {form} with plain numbers, got {what!r}"
        raise ValueError(msg) from None
    least_alpha = 1.0
    if not all(math.isfinite(number) and number >= 0 for number in numbers) or (
        (kind == "pareto" and numbers[1] <= least_alpha) or (kind == "lognormal" and numbers[0] == 0)
    ):
        msg = f"latency must have positive, finite numbers (ALPHA above 1), got {what!r}"
        raise ValueError(msg)
    return make(*numbers)
