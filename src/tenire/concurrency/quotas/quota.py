"""One quota: what it grants, and what it learns from what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.concurrency.quotas.grant import Grant
from tenire.concurrency.quotas.metrics import Metrics
from tenire.concurrency.quotas.outputs import Outputs
from tenire.concurrency.quotas.permit import QuotaPermit
from tenire.concurrency.quotas.statistics import QuotaStatistics
from tenire.concurrency.submit import amount_of, number_of
from tenire.core.concurrency_limit import AdaptiveLimit
from tenire.core.quota_meter import QuotaMeter
from tenire.core.rate_report import METRICS
from tenire.core.shared_window import SharedWindow
from tenire.core.tasks import Priority
from tenire.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.concurrency.quotas.sharing import QuotaSharing
    from tenire.core.rate_report import RateReport
    from tenire.core.tasks import Resources

__all__ = ["Quota"]

_LITTLE = 0.5
"""Part of a limit; if less of all is used, a call was not refused for them."""


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
        watched: Others of which it is found out whether it does, from what it says is left.
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
        watched: Collection[str] = (),
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
        self._now = orchestrator.now
        self._admission = orchestrator.scheduler.admission
        if self._admission.index_of(f"{name}/slots") is not None:
            message = f"there is a quota called {name!r} already"
            raise ConfigError(message, key="name", hint="share the one that there is, or take another name")
        self._sharing = sharing

        def make(limit: int | None) -> QuotaMeter:
            if sharing is None:
                return QuotaMeter(limit, self.window, jitter)
            return SharedWindow(limit, self.window, jitter, every=sharing.every)

        self._metrics = Metrics(self._admission, name, declared, make)
        self._meters = self._metrics.meters
        self._outputs = Outputs(self._meters, refunded, watched, self.window)
        if sharing is not None:
            shared = {metric: meter for metric, meter in self._meters.items() if isinstance(meter, SharedWindow)}
            sharing.attach(shared, max_concurrency=max_concurrency, changed=self._lent)
        if max_concurrency is None:
            self._adaptive: AdaptiveLimit | None = AdaptiveLimit()
            self._slots = self._adaptive.limit
        else:
            self._adaptive = None
            self._slots = amount_of("max_concurrency", max_concurrency, least=1)
        self._slots_index = self._admission.register(f"{name}/slots", self._slots)
        self._keep_slots()
        self._in_flight = self._granted = self._refused = 0
        self._waiting: set[QuotaPermit] = set()

    def change(self, **limits: int | None) -> None:
        """Change limits that were declared; calls that wait and are larger than their limit now are refused.

        Args:
            limits: By metric: units in one window, or ``None`` if that is unknown.

        Raises:
            ConfigError: If a figure is impossible, or the quota does not count that metric.
        """
        for metric, limit in limits.items():
            if metric not in self._meters:
                message = f"quota {self.name!r} does not count {metric!r} (it counts: {', '.join(self._meters)})"
                raise ConfigError(message, key=metric)
            if limit is not None:
                amount_of(metric, limit, least=1)
        for metric, limit in limits.items():
            self._meters[metric].declare(limit, self._now())
        self._limits_changed()

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
        return self._metrics.resources(self._metrics.amounts(requests, tokens, input_tokens, output_tokens))

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
        amounts = self._metrics.amounts(requests, tokens, input_tokens, output_tokens)
        needs = (*self._metrics.needs(amounts), (self._slots_index, 1))
        return QuotaPermit(
            self, self._orchestrator, amounts, needs, output_tokens=output_tokens if tokens is None else None,
            priority=priority, pipeline=pipeline, name=name, deadline=deadline,
        )  # fmt: skip

    def renew(self, permit: QuotaPermit, *, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """Have a call that waits take other amounts, now that more is known; it keeps its place.

        If it could never be sent now, its waiting ends with a ``RejectedError``.
        """
        try:
            amounts = self._metrics.amounts(permit.amounts.get("requests", 1), None, input_tokens, output_tokens)
        except RejectedError as error:
            permit.refuse(error)
        else:
            permit.renew(amounts, (*self._metrics.needs(amounts), (self._slots_index, 1)), output_tokens)

    # -- what became of a call -------------------------------------------------

    def sent(self, grant: Grant) -> None:
        """Take in that a call is being sent now, all of it."""
        if grant.sent_at is None:
            now = grant.sent_at = self._now()
            self._outputs.sent(grant, now)
            grant.spent = {metric: self._meters[metric].spent(now) for metric in grant.amounts}

    def settle(
        self,
        grant: Grant,
        *,
        tokens: int = 0,
        input_tokens: int = 0,
        output_tokens: int = 0,
        bounded: bool = True,
        report: RateReport | None = None,
    ) -> None:
        """Take in what a call really used, as the server counted it; 0 if it did not say.

        A prompt that was shorter than thought has only ever counted as what it was. Output
        that was granted and not used is given back only where the server counts what was used.

        Args:
            grant: The call's.
            tokens: Input and output together.
            input_tokens: Of the prompt.
            output_tokens: Of the reply.
            bounded: Whether the call said how long its reply may be, as it was granted.
            report: What the server says of its limits in the reply, as for ``observe``; what the
                call used beyond its grant is not taken for the use of others then.
        """
        used = {"tokens": tokens, "input_tokens": input_tokens, "output_tokens": output_tokens}
        now = self._now()
        if report is not None:
            self._outputs.observe(report, grant, now)
        self._outputs.settle(grant, used, now, bounded=bounded)
        if report is not None and self._metrics.observe(report, grant.spent, now, grant.sent_at):
            self._limits_changed()
        self._orchestrator.wake()

    def observe(self, report: RateReport, grant: Grant | None = None) -> None:
        """Take in what a server says of its limits, and of what is left of them.

        Args:
            report: That.
            grant: Of the call that it answers. Without it the report is taken for as new as can be.
        """
        now = self._now()
        if grant is not None:
            self._outputs.observe(report, grant, now)
        spent, sent_at = ({}, None) if grant is None else (grant.spent, grant.sent_at)
        if self._metrics.observe(report, spent, now, sent_at):
            self._limits_changed()

    def refused(self, grant: Grant, retry_after: float | None = None, report: RateReport | None = None) -> None:
        """Take in that a server refused a call as too much for its quota; ``ended`` is to follow.

        Args:
            grant: The call's.
            retry_after: Seconds after which calls make sense again, if the server says so.
            report: What it says of its limits, if it does.
        """
        self._refused += 1
        grant.refused = True
        now = self._now()
        if report is not None:
            self.observe(report, grant)
        for metric in self._metrics.exhausted(grant, report, now):
            meter = self._meters[metric]
            self._outputs.refused(metric, now)
            if grant.sent_at is not None:
                said = None if report is None else report.metrics.get(metric)
                meter.refused(grant.amounts[metric], grant.sent_at, now, None if said is None else said.remaining)
            meter.freeze(retry_after, now)
            if self._sharing is not None and meter.frozen_until > now:
                self._sharing.freeze(metric, meter.frozen_until)
        self._orchestrator.wake()

    def ended(self, grant: Grant, *, ok: bool) -> None:
        """Take in that a call has ended.

        Args:
            grant: The call's.
            ok: ``False`` if the server refused it, or it timed out. An error that would come
                again if nothing else were in flight says nothing of the load, and is an answer.
        """
        now = self._now()
        if ok:
            for metric in grant.amounts:
                self._meters[metric].accepted(now)
        # A refusal for a quota that is used up says nothing of how many calls the server can bear at once.
        tells = ok or not grant.refused or self._metrics.busiest(now) < _LITTLE
        if tells and self._adaptive is not None and grant.token is not None:
            self._adaptive.on_end(grant.token, now, ok=ok)
            self._set_slots()

    def _limits_changed(self) -> None:
        changed = self._metrics.update()
        for permit in list(self._waiting) if changed else ():
            error = self._metrics.too_large(permit.amounts, changed)
            if error is not None:
                permit.refuse(error)
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

    # -- looking -----------------------------------------------------------------

    @property
    def slots(self) -> int:
        """Calls that may be in flight now, those of other engines included."""
        return self._slots

    def statistics(self) -> QuotaStatistics:
        """Return how much of it is used, and how much is waited for."""
        now = self._now()
        return QuotaStatistics(
            metrics=self._metrics.statistics(now),
            slots=self._slots,
            in_flight=self._in_flight,
            waiting=len(self._waiting),
            granted=self._granted,
            refused=self._refused,
            others=0 if self._sharing is None else self._sharing.others,
            frozen_for=max(0.0, *(meter.frozen_until - now for meter in self._meters.values())),
            real_output=self._outputs.real,
        )

    # -- for its permits ----------------------------------------------------------

    def waits(self, permit: QuotaPermit, change: int) -> None:
        """Take in that a call begins to wait for its permit (1), or waits no longer (-1)."""
        (self._waiting.add if change > 0 else self._waiting.discard)(permit)
        if self._sharing is not None:
            self._sharing.waits(permit.amounts, change)

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
        now = self._now()
        if grant.sent_at is not None:
            self._outputs.lost(grant, now)
        for metric, held in grant.held.items():
            if grant.sent_at is None:
                self._meters[metric].give_back(held)
            else:
                self._meters[metric].stamp(held, now)  # what it really used nobody knows
        grant.held = {}
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
