"""The permit of one call of a server with a quota."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.concurrency.permits import Permit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from tenire.concurrency.handle import Handle
    from tenire.concurrency.orchestrator import Orchestrator
    from tenire.concurrency.quotas.grant import Grant
    from tenire.concurrency.quotas.quota import Quota
    from tenire.core.tasks import Needs, Priority
    from tenire.errors import RejectedError

__all__ = ["QuotaPermit"]


class QuotaPermit:
    """An async context manager that holds what one call takes; its value is the ``Grant``.

    Args:
        quota: Whose.
        orchestrator: Who grants it.
        amounts: What it takes, by metric.
        needs: The same, with its slot, in the core's form.
        output_tokens: Of its ``tokens``, those of the reply, or ``None`` if nobody said.
        priority: Its class.
        pipeline: Whose share it is charged to.
        name: For explanations.
        deadline: Seconds to wait at the most; ``None`` for no limit.

    Attributes:
        amounts: As given, or renewed.
    """

    def __init__(
        self,
        quota: Quota,
        orchestrator: Orchestrator,
        amounts: Mapping[str, int],
        needs: Needs,
        *,
        output_tokens: int | None,
        priority: Priority | str,
        pipeline: str,
        name: str,
        deadline: float | None,
    ) -> None:
        self._quota = quota
        self.amounts = amounts
        self._output_tokens = output_tokens
        self._permit = Permit(
            orchestrator,
            needs,
            priority=priority,
            pipeline=pipeline,
            name=name,
            deadline=deadline,
        )
        self._grant: Grant | None = None

    async def __aenter__(self) -> Grant:
        self._quota.waits(self, 1)
        try:
            handle = await self._permit.take(self._unused)
        finally:
            self._quota.waits(self, -1)
        self._grant = grant = self._quota.open(self.amounts, handle, self._output_tokens)
        return grant

    def renew(self, amounts: Mapping[str, int], needs: Needs, output_tokens: int | None) -> None:
        """Take other amounts of the same metrics, if it still waits."""
        if amounts.keys() == self.amounts.keys() and self._permit.renew(needs):
            self._quota.waits(self, -1)
            self.amounts = amounts
            self._output_tokens = output_tokens
            self._quota.waits(self, 1)

    def rise(self, priority: Priority) -> None:
        """Be of this class from now on, if it is more urgent."""
        self._permit.rise(priority)

    def refuse(self, error: RejectedError) -> None:
        """End the waiting for it with an error."""
        self._permit.refuse(error)

    def _unused(self, handle: Handle[None]) -> None:
        self._quota.unused(self.amounts, handle)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Hold nothing any more; does nothing if it was not granted. What leaving its block does."""
        grant, self._grant = self._grant, None
        if grant is not None:
            self._quota.close(grant)
        self._permit.give_back()
