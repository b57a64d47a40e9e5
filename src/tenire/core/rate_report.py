"""What a server says about its own limits, in one form for all of them.

The numbers are facts of one moment: whoever uses them must know when they were true.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["METRICS", "MetricReport", "RateReport"]

METRICS = ("requests", "tokens", "input_tokens", "output_tokens")
"""What providers count. ``tokens`` is input and output together."""


class MetricReport(NamedTuple):
    """What a server says about one metric.

    Attributes:
        limit: Units in one window, or ``None`` if it does not say.
        remaining: Units left, or ``None``.
        rounding: By how much ``remaining`` may be rounded, either way.
        reset_s: Seconds until the whole limit is back, or ``None``.
    """

    limit: int | None = None
    remaining: int | None = None
    rounding: int = 0
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class RateReport:
    """What a reply says about limits.

    Attributes:
        metrics: By name, those of ``METRICS`` that it speaks of.
        retry_after: Seconds until calls make sense again, or ``None``.
    """

    metrics: Mapping[str, MetricReport] = field(default_factory=dict)
    retry_after: float | None = None
