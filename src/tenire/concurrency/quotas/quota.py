"""One quota: what it grants, and what it learns from what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.concurrency.quotas.grant import Grant
from tenire.concurrency.quotas.permit import QuotaPermit
from tenire.concurrency.quotas.statistics import MetricStatistics, QuotaStatistics
from tenire.concurrency.submit import amount_of, number_of
from tenire.core.concurrency_limit import AdaptiveLimit
from tenire.core.rate_report import METRICS
from tenire.core.rate_window import UNLIMITED, SlidingWindow
from tenire.core.shared_window import SharedWindow
from tenire.core.tasks import Priority, Resources
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.concurrency.quotas.sharing import QuotaSharing
    from tenire.core.rate_report import RateReport

__all__ = ["Quota"]


class Quota:
    """How much may be sent to a server: calls and tokens in a window, and calls at once.

    All of it are resources of the engine: a call waits for all that it needs together, in the
    order of priorities and shares, and ``handle.explain`` says for what. Its slots are
    ``NAME/slots``, its metrics ``NAME/requests`` and so on.

    It lives on the engine's loop: make it and use it there.

    Example::

        quota = Quota(manager.orchestrator, "main", requests=500, tokens=200_000)
        async with quota.permit(tokens=900) as grant:
            quota.sent(grant)
            ...
            quota.ended(grant, ok=True)

    Args:
        orchestrator: The engine's.
        name: Its name; one of an engine.
        requests: Calls in a window, or ``None`` if that is unknown. What is unknown is not limited.
        tokens: Input and output tokens together in a window, or ``None``.
        input_tokens: The same for servers that count them apart.
        output_tokens: The same.
        window: Seconds.
        max_concurrency: Calls in flight at once; ``None``: found out by how the server answers.
        meter_jitter: By how much the time on the way to the server varies, seconds.
        refunded: Metrics of which the server counts what was really used, when it knows.
            Of all others it counts when the call arrives what it could use at the most.
        sharing: What makes it one quota with those of other processes; ``aclose`` is to follow.

    Raises:
        ConfigError: If a figure is impossible, or the engine has a quota of that name.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        name: str,
        *,
        requests: int | None = None,
        tokens: int | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        window: float = 60.0,
        max_concurrency: int | None = None,
        meter_jitter: float = 0.5,
        refunded: Collection[str] = ("output_tokens",),
        sharing: QuotaSharing | None = None,
    ) -> None:
        self.name = name
        self.window = float(number_of("window", window, least=1e-3))
        jitter = float(number_of("meter_jitter", meter_jitter, least=0.0))
        declared = dict(zip(METRICS, (requests, tokens, input_tokens, output_tokens), strict=True))
        for metric, limit in declared.items():
            if limit is not None:
                amount_of(metric, limit, least=1)
        self._orchestrator = orchestrator
        self._admission = orchestrator.scheduler.admission
        if self._admission.index_of(f"{name}/slots") is not None:
            message = f"there is a quota called {name!r} already"
            raise ConfigError(message, key="name", hint="share the one that there is, or take another name")
        self._declared = declared
        self._announced: dict[str, int] = {}
        self._refunded = frozenset(refunded)
        apart = input_tokens is not None or output_tokens is not None
        counted = [m for m in METRICS if declared[m] is not None or m == "requests" or (m == "tokens") is not apart]
        self._meters: Mapping[str, SlidingWindow]
        self._sharing = sharing
        if sharing is None:
            self._meters = {metric: SlidingWindow(declared[metric], self.window, jitter) for metric in counted}
        else:
            shared = {metric: SharedWindow(declared[metric], self.window, jitter) for metric in counted}
            sharing.attach(shared, max_concurrency=max_concurrency, changed=self._lent)
            self._meters = shared
        self._indices = {metric: self._register(metric) for metric in self._meters}
        if max_concurrency is None:
            self._adaptive: AdaptiveLimit | None = AdaptiveLimit()
            self._slots = self._adaptive.limit
        else:
            self._adaptive = None
            self._slots = amount_of("max_concurrency", max_concurrency, least=1)
        self._slots_index = self._admission.register(f"{name}/slots", self._slots)
        self._keep_slots()
        self._in_flight = self._waiting = self._granted = self._refused = 0

    # -- before a call -------------------------------------------------------

    def needs(
        self, *, requests: int = 1, tokens: int | None = None, input_tokens: int = 0, output_tokens: int = 0
    ) -> Resources:
        """Return what a call takes: a slot, and of each metric the most that it could use.

        Args:
            requests: Calls.
            tokens: Input and output tokens together; ``None``: the sum of the two.
            input_tokens: Of the prompt.
            output_tokens: Of the reply, the most that it may have.

        Raises:
            RejectedError: If it is more than the limit, so that it could never be sent.
        """
        return self._resources(self._amounts(requests, tokens, input_tokens, output_tokens))

    def permit(
        self,
        *,
        requests: int = 1,
        tokens: int | None = None,
        input_tokens: int = 0,
        output_tokens: int = 0,
        priority: Priority | str = Priority.NORMAL,
        pipeline: str = "default",
        name: str = "call",
        deadline: float | None = None,
    ) -> QuotaPermit:
        """Return an async context manager that holds what one call takes; see ``needs``.

        Its value is a ``Grant``. What is not reported as ``sent`` by the end is given back.

        Args:
            requests: As for ``needs``.
            tokens: As for ``needs``.
            input_tokens: As for ``needs``.
            output_tokens: As for ``needs``.
            priority: Its class.
            pipeline: Whose share it is charged to.
            name: For explanations.
            deadline: Seconds to wait at the most; ``None`` for no limit.

        Raises:
            RejectedError: If it is more than the limit, so that it could never be sent.
        """
        amounts = self._amounts(requests, tokens, input_tokens, output_tokens)
        needs = self._resources(amounts)
        return QuotaPermit(
            self, self._orchestrator, amounts, needs, output_tokens=output_tokens if tokens is None else None,
            priority=priority, pipeline=pipeline, name=name, deadline=deadline,
        )  # fmt: skip

    def _amounts(self, requests: int, tokens: int | None, input_tokens: int, output_tokens: int) -> dict[str, int]:
        together = input_tokens + output_tokens if tokens is None else tokens
        wanted = {
            "requests": requests,
            "tokens": together,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
        }
        return {metric: wanted[metric] for metric in self._meters if wanted[metric]}

    def _resources(self, amounts: Mapping[str, int]) -> Resources:
        for metric, amount in amounts.items():
            if amount > self._meters[metric].limit:
                raise self._too_large(metric, amount)
        other = {f"{self.name}/{metric}": amount for metric, amount in amounts.items()}
        other[f"{self.name}/slots"] = 1
        return Resources(other=other)

    def _too_large(self, metric: str, amount: int) -> RejectedError:
        limit = self._meters[metric].limit
        what = metric.replace("_", " ")
        message = (
            f"a call of up to {amount:,} {what} can never be sent: the limit of quota {self.name!r} is "
            f"{limit:,} in {self.window:g} s ({self._source(metric)})"
        )
        return RejectedError(message, hint="shorten the prompt, ask for fewer output tokens, or raise the limit")

    # -- what became of a call -------------------------------------------------

    def sent(self, grant: Grant) -> None:
        """Take in that a call is being sent now, all of it."""
        if grant.sent_at is None:
            now = grant.sent_at = self._orchestrator.now()
            for metric in grant.held - self._refunded:
                self._meters[metric].stamp(grant.amounts[metric], now)
            grant.held &= self._refunded

    def settle(self, grant: Grant, *, tokens: int = 0, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """Take in what a call really used, as the server counted it; 0 if it did not say.

        A prompt that was shorter than thought has only ever counted as what it was. Output
        that was granted and not used is given back only where the server counts what was used.
        """
        now = self._orchestrator.now()
        if tokens and "tokens" not in self._refunded:
            tokens = max(tokens, self._reserved(grant, input_tokens))
        used = {"tokens": tokens, "input_tokens": input_tokens, "output_tokens": output_tokens}
        for metric, amount in used.items():
            meter = self._meters.get(metric)
            if meter is None or not amount:
                continue
            granted = grant.amounts.get(metric, 0)
            if metric in grant.held:
                grant.held.discard(metric)
                meter.stamp(granted, now, spent=amount)
            elif amount > granted:
                meter.add(now, amount - granted)
            elif grant.sent_at is not None:
                meter.correct(grant.sent_at, granted, spent=amount)
        self._orchestrator.wake()

    @staticmethod
    def _reserved(grant: Grant, input_tokens: int) -> int:
        """Return what a server counts that takes the reply for as long as it may be."""
        if grant.output_tokens is None or not input_tokens:
            return grant.amounts.get("tokens", 0)
        return input_tokens + grant.output_tokens

    def observe(self, report: RateReport) -> None:
        """Take in what a server says of its limits. Of two limits the smaller one holds."""
        for metric, said in report.metrics.items():
            if metric in self._meters and said.limit is not None and said.limit > 0:
                self._announced[metric] = said.limit
                self._set_limit(metric)

    def refused(self, grant: Grant, retry_after: float | None = None) -> None:
        """Take in that a server refused a call as too much for its quota; ``ended`` is to follow.

        Args:
            grant: The call's.
            retry_after: Seconds after which calls make sense again, if the server says so.
        """
        self._refused += 1
        if retry_after is not None:
            until = self._orchestrator.now() + retry_after
            for metric in grant.amounts:
                meter = self._meters[metric]
                meter.frozen_until = max(meter.frozen_until, until)
                if self._sharing is not None:
                    self._sharing.freeze(metric, until)
        self._orchestrator.wake()

    def ended(self, grant: Grant, *, ok: bool) -> None:
        """Take in that a call has ended.

        Args:
            grant: The call's.
            ok: ``False`` if the server refused it, or it timed out. An error that would come
                again if nothing else were in flight says nothing of the load, and is an answer.
        """
        if self._adaptive is not None and grant.token is not None:
            self._adaptive.on_end(grant.token, self._orchestrator.now(), ok=ok)
            self._set_slots()

    def _set_limit(self, metric: str) -> None:
        known = [limit for limit in (self._declared[metric], self._announced.get(metric)) if limit is not None]
        meter = self._meters[metric]
        if known and min(known) != meter.limit:
            meter.set_limit(min(known))
            self._register(metric)
            self._orchestrator.wake()

    def _set_slots(self) -> None:
        if self._adaptive is not None and self._adaptive.limit != self._slots:
            self._slots = self._adaptive.limit
            self._admission.register(f"{self.name}/slots", self._slots)
            self._orchestrator.wake()

    def _lent(self) -> None:
        """Take in that something was lent."""
        self._keep_slots()
        self._orchestrator.wake()

    def _keep_slots(self) -> None:
        """Have calls take no more slots than were lent."""
        if self._sharing is not None and (lent := self._sharing.slots) is not None:
            self._admission.set_aside(self._slots_index, self._slots - lent)

    def _register(self, metric: str) -> int:
        meter = self._meters[metric]
        return self._admission.register_meter(f"{self.name}/{metric}", meter, meter.limit)

    # -- looking -----------------------------------------------------------------

    def _source(self, metric: str) -> str:
        declared, announced = self._declared[metric], self._announced.get(metric)
        if announced is not None and (declared is None or announced < declared):
            return "announced"
        return "unknown" if declared is None else "declared"

    def statistics(self) -> QuotaStatistics:
        """Return how much of it is used, and how much is waited for."""
        now = self._orchestrator.now()
        metrics = {
            metric: MetricStatistics(
                limit=None if meter.limit == UNLIMITED else meter.limit,
                source=self._source(metric),
                spent=meter.spent(now),
                held=meter.held,
                margin=meter.margin,
            )
            for metric, meter in self._meters.items()
        }
        return QuotaStatistics(
            metrics=metrics,
            slots=self._slots,
            in_flight=self._in_flight,
            waiting=self._waiting,
            granted=self._granted,
            refused=self._refused,
            others=0 if self._sharing is None else self._sharing.others,
            frozen_for=max(0.0, *(meter.frozen_until - now for meter in self._meters.values())),
        )

    # -- for its permits ----------------------------------------------------------

    def waits(self, amounts: Mapping[str, int], change: int) -> None:
        """Take in that a call begins to wait (1), or has waited (-1)."""
        self._waiting += change
        if self._sharing is not None:
            self._sharing.waits(amounts, change)

    def open(self, amounts: Mapping[str, int], handle: Handle[None], output_tokens: int | None) -> Grant:
        """Take in that a permit was granted."""
        self._granted += 1
        self._runs(1)
        token = None
        if self._adaptive is not None:
            token = self._adaptive.on_start(handle.started_at, self._in_flight)
            self._set_slots()
        for metric, amount in amounts.items():
            self._meters[metric].hold(amount, handle.started_at)
        return Grant(amounts, handle.started_at, token, output_tokens)

    def close(self, grant: Grant) -> None:
        """Take in that a permit is given back."""
        now = self._orchestrator.now()
        for metric in grant.held:
            if grant.sent_at is None:
                self._meters[metric].give_back(grant.amounts[metric])
            else:
                self._meters[metric].stamp(grant.amounts[metric], now)  # what it really used nobody knows
        grant.held = set()
        self._runs(-1)

    def _runs(self, change: int) -> None:
        self._in_flight += change
        if self._sharing is not None:
            self._sharing.runs(change)

    async def aclose(self) -> None:
        """Give back what other processes may use; call it when no call is in flight."""
        if self._sharing is not None:
            await self._sharing.aclose()

    def unused(self, amounts: Mapping[str, int], handle: Handle[None]) -> None:
        """Take in that a permit was granted to somebody who is gone."""
        for metric, amount in amounts.items():
            self._meters[metric].hold(amount, handle.started_at)
            self._meters[metric].give_back(amount)
