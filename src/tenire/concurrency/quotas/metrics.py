"""What a quota counts, each metric with its meter, as resources of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.concurrency.quotas.statistics import MetricStatistics
from tenire.concurrency.submit import amount_of
from tenire.core.rate_report import METRICS
from tenire.core.rate_window import UNLIMITED
from tenire.core.tasks import Resources
from tenire.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tenire.concurrency.quotas.grant import Grant
    from tenire.core.admission import Admission
    from tenire.core.quota_meter import QuotaMeter
    from tenire.core.rate_report import RateReport
    from tenire.core.tasks import Needs

__all__ = ["Metrics"]

_NEARLY = 0.8
"""A call that is refused was so for a metric that is used nearly as much as the one used most."""


class Metrics:
    """The metrics of one quota.

    Args:
        admission: The engine's resources.
        name: The quota's.
        declared: Limits that the user named, by metric, ``None`` for those that he did not.
        make: Makes the meter of a metric from its limit.

    Attributes:
        meters: By metric.
    """

    __slots__ = ("_admission", "_indices", "_name", "meters")

    def __init__(
        self,
        admission: Admission,
        name: str,
        declared: Mapping[str, int | None],
        make: Callable[[int | None], QuotaMeter],
    ) -> None:
        self._admission = admission
        self._name = name
        # A server that counts input and output apart does not count their sum.
        apart = declared["input_tokens"] is not None or declared["output_tokens"] is not None
        counted = [m for m in METRICS if declared[m] is not None or m == "requests" or (m == "tokens") is not apart]
        self.meters: Mapping[str, QuotaMeter] = {metric: make(declared[metric]) for metric in counted}
        self._indices = {metric: self._register(metric) for metric in self.meters}

    def _register(self, metric: str) -> int:
        meter = self.meters[metric]
        return self._admission.register_meter(f"{self._name}/{metric}", meter, meter.limit)

    def update(self) -> list[str]:
        """Have the engine know limits that have changed; return their metrics."""
        capacity = self._admission.capacity
        changed = [metric for metric, meter in self.meters.items() if meter.limit != capacity[self._indices[metric]]]
        for metric in changed:
            self._register(metric)
        return changed

    # -- what a call takes ---------------------------------------------------

    def amounts(self, requests: int, tokens: int | None, input_tokens: int, output_tokens: int) -> dict[str, int]:
        """Return what a call takes of each metric.

        Raises:
            RejectedError: If it is more than a limit.
            ConfigError: If a figure is impossible.
        """
        together = input_tokens + output_tokens if tokens is None else tokens
        wanted = {
            "requests": requests, "tokens": together, "input_tokens": input_tokens, "output_tokens": output_tokens,
        }  # fmt: skip
        amounts = {}
        for metric, meter in self.meters.items():
            amount = wanted[metric]
            if type(amount) is not int or amount < 0:
                amount = amount_of(metric, amount)
            if amount:
                amounts[metric] = amount
            if amount > meter.limit:
                raise self._too_large(metric, amount, meter)
        return amounts

    def needs(self, amounts: Mapping[str, int]) -> Needs:
        """Return what a call takes, without its slot, in the core's form."""
        indices = self._indices
        return tuple([(indices[metric], amount) for metric, amount in amounts.items()])

    def resources(self, amounts: Mapping[str, int]) -> Resources:
        """Return what a call takes, with its slot, as resources."""
        other = {f"{self._name}/{metric}": amount for metric, amount in amounts.items()}
        other[f"{self._name}/slots"] = 1
        return Resources(other=other)

    def too_large(self, amounts: Mapping[str, int], metrics: Collection[str]) -> RejectedError | None:
        """Return what to say of a call that is larger than the limit of one of some metrics, or ``None``."""
        for metric in metrics:
            amount, meter = amounts.get(metric, 0), self.meters[metric]
            if amount > meter.limit:
                return self._too_large(metric, amount, meter)
        return None

    def _too_large(self, metric: str, amount: int, meter: QuotaMeter) -> RejectedError:
        message = (
            f"a call of up to {amount:,} {metric.replace('_', ' ')} can never be sent: the limit of quota "
            f"{self._name!r} is {meter.limit:,} in {meter.window:g} s ({meter.source})"
        )
        hint = "shorten the prompt, ask for fewer output tokens, or raise the limit"
        return RejectedError(message, hint=hint)

    # -- what the server says ---------------------------------------------------

    def observe(self, report: RateReport, spent: Mapping[str, int], now: float, sent_at: float | None = None) -> bool:
        """Take in what the server says; return whether that is anything new.

        Args:
            report: That.
            spent: What counted of each metric when the call was sent that it answers.
            now: Seconds on the engine's clock.
            sent_at: When that was, or ``None``.
        """
        news = False
        for metric, said in report.metrics.items():
            meter = self.meters.get(metric)
            if meter is None:
                continue
            # The server may have said so any time since the call was sent.
            own = max(spent.get(metric, 0), meter.spent(now))
            if not meter.knows(said, own):
                news = True
                meter.observe(said, own, now, sent_at)
        return news

    # -- how much is used ------------------------------------------------------

    def exhausted(self, grant: Grant, report: RateReport | None, now: float) -> list[str]:
        """Return the metrics that a call may have been refused for."""
        told = [
            metric
            for metric, said in ({} if report is None else report.metrics).items()
            if said.remaining is not None and said.remaining < grant.amounts.get(metric, 0)
        ]
        if told:
            return told
        used = {metric: self.meters[metric].spent(now) / self.meters[metric].limit for metric in grant.amounts}
        most = max(used.values(), default=0.0)
        return [m for m, share in used.items() if self.meters[m].known is None or share >= _NEARLY * most]

    def busiest(self, now: float) -> float:
        """Return the largest part of a known limit that is used, 0 to 1."""
        return max((meter.spent(now) / meter.limit for meter in self.meters.values()), default=0.0)

    def statistics(self, now: float) -> dict[str, MetricStatistics]:
        """Return how much of each is used."""
        return {
            metric: MetricStatistics(
                limit=None if meter.ceiling == UNLIMITED else meter.ceiling,
                source=meter.source,
                spent=meter.spent(now),
                held=meter.held,
                margin=meter.margin,
                quantum=meter.quantum,
            )
            for metric, meter in self.meters.items()
        }
