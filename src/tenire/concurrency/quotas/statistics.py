"""What a quota says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MetricStatistics", "QuotaStatistics"]


@dataclass(frozen=True, slots=True)
class MetricStatistics:
    """One metric of a quota.

    Attributes:
        limit: Units that may be spent in one window for now, or ``None`` while that is unknown.
        source: Where the limit is from: ``declared``, ``announced``, ``learned`` or ``unknown``.
        spent: Units that count now.
        held: Those of them that were granted but not sent yet, or not counted yet by the server.
        margin: Seconds for which what was sent counts beyond the window.
        quantum: Seconds by which the server enforces the limit, if it was found out that it does.
    """

    limit: int | None
    source: str
    spent: int
    held: int
    margin: float
    quantum: float | None = None


@dataclass(frozen=True, slots=True)
class QuotaStatistics:
    """A quota.

    Attributes:
        metrics: By name: ``requests``, ``tokens``, …
        slots: Calls that may be in flight now.
        in_flight: Calls that are.
        waiting: Calls that wait for a permit.
        granted: Permits ever granted.
        refused: Calls that the server refused.
        frozen_for: Seconds until the server takes calls again; 0 if it does.
        others: How many other engines use it, as far as was heard lately.
        real_output: Metrics of which the server counts the output that replies had, as far as
            is known; of the others it counts what was reserved.
    """

    metrics: Mapping[str, MetricStatistics]
    slots: int
    in_flight: int
    waiting: int
    granted: int
    refused: int
    frozen_for: float
    others: int = 0
    real_output: tuple[str, ...] = ()
