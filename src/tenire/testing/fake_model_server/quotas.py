"""All metrics of one quota, taken together or not at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.testing.fake_model_server.meters import Meter

__all__ = ["Quotas", "Refusal"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call was not let in.

    Attributes:
        metric: The metric that had no room.
        limit: Its limit.
        used: What was used of it.
        asked: What the call would have taken.
        ready_at: When the same call would be let in; infinity if it is larger than the limit.
    """

    metric: str
    limit: int
    used: int
    asked: int
    ready_at: float


class Quotas:
    """The metrics of a quota.

    Args:
        meters: By metric: ``requests``, ``tokens``, ``input_tokens``, ``output_tokens``.
    """

    def __init__(self, meters: Mapping[str, Meter]) -> None:
        self.meters = dict(meters)
        self._items = tuple(self.meters.items())

    def admit(self, costs: Mapping[str, int], now: float) -> Refusal | None:
        """Take the costs of a call from all metrics, or say why not and take nothing.

        Args:
            costs: Units by metric; a metric that is not metered costs nothing.
            now: Seconds.
        """
        worst: tuple[float, str, Meter] | None = None
        for name, meter in self._items:
            ready = meter.ready_at(costs.get(name, 0), now)
            if ready > now and (worst is None or ready > worst[0]):
                worst = ready, name, meter
        if worst is not None:
            ready, name, meter = worst
            used = math.ceil(meter.limit - meter.remaining(now))
            return Refusal(name, meter.limit, used, costs.get(name, 0), ready)
        for name, meter in self._items:
            units = costs.get(name, 0)
            if units:
                meter.take(units, now)
        return None

    def charge(self, metric: str, units: int, now: float) -> None:
        """Take what was used without asking, for example the output of a reply."""
        meter = self.meters.get(metric)
        if meter is not None and units:
            meter.take(units, now)
