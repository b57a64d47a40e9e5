"""How the output of calls counts: as it was reserved when they were sent, or as their replies had it.

Where real output counts, a call's input counts from when it is sent, and what it may reply is
held until the reply is there: a server may count it at any time until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.output_count import OutputCount

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tenire.concurrency.quotas.grant import Grant
    from tenire.core.quota_meter import QuotaMeter
    from tenire.core.rate_report import RateReport

__all__ = ["Outputs"]

_WITH_OUTPUT = ("tokens", "output_tokens")


class Outputs:
    """The part of a quota that knows how output counts.

    Args:
        meters: Of the quota, by metric.
        refunded: Metrics of which the server counts what was really used.
        watched: Others of which that is found out.
        window: Seconds.
    """

    __slots__ = ("_counts", "_meters", "_refunded")

    def __init__(
        self, meters: Mapping[str, QuotaMeter], refunded: Collection[str], watched: Collection[str], window: float
    ) -> None:
        self._meters = meters
        self._refunded = frozenset(refunded)
        self._counts = {
            metric: OutputCount(window)
            for metric in meters
            if metric in _WITH_OUTPUT and metric in watched and metric not in self._refunded
        }

    @property
    def real(self) -> tuple[str, ...]:
        """The metrics with output of which what was really used counts."""
        return tuple(metric for metric in self._meters if metric in _WITH_OUTPUT and self._is_refunded(metric))

    def _is_refunded(self, metric: str) -> bool:
        count = self._counts.get(metric)
        return metric in self._refunded if count is None else count.real

    def sent(self, grant: Grant, now: float) -> None:
        """Count what of a call counts from its sending on."""
        kept: dict[str, int] = {}
        for metric, held in grant.held.items():
            later = 0
            if self._is_refunded(metric):
                later = held if metric != "tokens" or grant.output_tokens is None else min(held, grant.output_tokens)
            if later:
                kept[metric] = later
            if held > later:
                self._meters[metric].stamp(held - later, now)
        grant.held = kept
        for metric, count in self._counts.items():
            count.sent(grant.amounts.get(metric, 0))

    def settle(self, grant: Grant, used: Mapping[str, int], now: float, *, bounded: bool) -> None:
        """Count what a call really used, by metric; 0 is not known."""
        self._tell(grant, used, now, bounded=bounded)
        for metric, amount in used.items():
            meter = self._meters.get(metric)
            if meter is None or not amount:
                continue
            granted = grant.amounts.get(metric, 0)
            held = grant.held.pop(metric, 0)
            if held:
                self._settle_held(metric, grant, granted - held, held, amount, used["input_tokens"], now)
                continue
            amount = self._counted(metric, grant, amount, used["input_tokens"])
            if amount > granted:
                self._add(metric, grant, amount - granted, now)
            elif grant.sent_at is not None:
                meter.correct(grant.sent_at, granted, spent=amount)

    def _settle_held(
        self, metric: str, grant: Grant, counted: int, held: int, amount: int, input_tokens: int, now: float
    ) -> None:
        meter = self._meters[metric]
        if counted and grant.sent_at is not None:
            before = min(input_tokens or counted, amount)
            amount -= before
            if before > counted:
                self._add(metric, grant, before - counted, now)
            else:
                meter.correct(grant.sent_at, counted, spent=before)
        # It may have turned out meanwhile that what was reserved counts.
        meter.stamp(held, now, spent=amount if self._is_refunded(metric) else max(held, amount))

    def _add(self, metric: str, grant: Grant, more: int, now: float) -> None:
        """Count what a call used beyond its grant, also as a part of what was its own when it was sent."""
        self._meters[metric].add(now, more)
        grant.spent[metric] = grant.spent.get(metric, 0) + more

    def _counted(self, metric: str, grant: Grant, amount: int, input_tokens: int) -> int:
        """Return what counts of a call of which nothing is held any longer."""
        if metric not in _WITH_OUTPUT:
            return amount
        granted = grant.amounts.get(metric, 0)
        if metric == "tokens" and grant.output_tokens is not None and input_tokens:
            granted = input_tokens + grant.output_tokens
        return max(amount, granted)

    # -- finding out -------------------------------------------------------------

    def _tell(self, grant: Grant, used: Mapping[str, int], now: float, *, bounded: bool) -> None:
        if grant.sent_at is None or grant.settled or not (used["tokens"] or used["output_tokens"]):
            return
        grant.settled = True
        for metric, count in self._counts.items():
            granted = grant.amounts.get(metric, 0)
            inputs = used["input_tokens"] if metric == "tokens" else 0
            reserved = grant.output_tokens if metric == "tokens" else granted
            count.answered(
                grant.sent_at,
                now,
                granted,
                input_tokens=inputs,
                output_tokens=max(0, used[metric] - inputs),
                reserved=reserved if bounded else None,
            )

    def lost(self, grant: Grant, now: float) -> None:
        """Take in that a call that was sent has ended."""
        if not grant.settled:
            grant.settled = True
            for metric, count in self._counts.items():
                count.lost(now, grant.amounts.get(metric, 0))

    def observe(self, report: RateReport, grant: Grant, now: float) -> None:
        """Take in what the server says in the reply to a call, before ``settle``."""
        if grant.sent_at is None:
            return
        for metric, count in self._counts.items():
            said, meter = report.metrics.get(metric), self._meters[metric]
            if said is not None and meter.alone:
                granted = grant.amounts.get(metric, 0)
                outputs = grant.output_tokens if metric == "tokens" else granted
                own = 0 if outputs is None else granted - outputs
                count.observe(said, grant.sent_at, now, meter.margin, own)

    def refused(self, metric: str, now: float) -> None:
        """Take in that a call was refused, perhaps for a metric."""
        count = self._counts.get(metric)
        if count is not None:
            count.refused(now)
