"""Hands one batch over to the provider, exactly once.

The ledger knows that the provider is about to be asked before it is. When the answer is
lost, the batch is looked for by its mark, and only made if it is not there, and not some
seconds later either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.batch_refusal import Refusal, Step, after_refusal
from tenire.core.retrying import Kind
from tenire.errors import ModelError, RateLimitedError
from tenire.llm.batches.provider import LostBatch
from tenire.llm.failures import kind_of

if TYPE_CHECKING:
    from tenire.llm.batches.bench import Bench
    from tenire.llm.batches.provider import BatchView
    from tenire.storage.provider_batches import OpenBatch

__all__ = ["Handing", "find"]

_LISTED_LATE_S = 15.0
"""Within it a provider lists what it has made: the question may have been on its way when the answer was lost."""

_TOO_LARGE = 413
_TOO_MUCH = frozenset({"token_limit_exceeded", "batch_queue_limit", "quota_exceeded", "rate_limit_exceeded"})


class Handing:
    """Hands one batch over.

    Args:
        bench: What batches work with.
        batch: The batch.
    """

    def __init__(self, bench: Bench, batch: OpenBatch) -> None:
        self._bench = bench
        self.batch = batch
        self._tries = 0
        self._failures = 0

    async def hand_over(self) -> Step:
        """Hand it over, waiting as often as needed; ``WAIT`` says that the provider has it now.

        Raises:
            ModelError: If the provider does not take it, and would not take any other either.
        """
        while True:
            try:
                await self._once()
            except ModelError as error:
                step = await self.refused(_why(error), retry_after=error.retry_after)
                if step is Step.GIVE_UP and not (_why(error) is Refusal.TOO_LARGE and self.batch.lines == 1):
                    raise
                if step is not Step.WAIT:
                    return step
            else:
                return Step.WAIT

    async def refused(self, why: Refusal, *, retry_after: float | None = None) -> Step:
        """Decide what to do with a batch that was not taken, and wait if that is it."""
        bench = self._bench
        others = len(bench.at_provider - {self.batch.id})
        if not others or why is Refusal.FAILED:
            self._tries += 1
        step = after_refusal(why, lines=self.batch.lines, tries=self._tries, others=others)
        if step is Step.WAIT:
            self._failures += 1
            now = bench.timer.now()
            at = bench.looks.next_at(now, now, failures=self._failures, not_before=now + (retry_after or 0.0))
            await bench.timer.wait_until(at)
        return step

    async def make_sure(self) -> BatchView | None:
        """Return what the provider has made of it, now that the one which was taken for it has ended.

        Raises:
            ModelError: If that cannot be found out.
        """
        view = await find(self._bench, self.batch)
        if view is not None:
            name = view.id
            self.batch = self.batch._replace(provider_id=name)
            await self._bench.log.run(lambda ledger, _: ledger.provider_batches.sent(self.batch.id, name))
        return view

    def reset(self) -> None:
        """Take in that the provider has refused it after it had taken it: it is to be made again."""
        self.batch = self.batch._replace(state="uploaded")

    def failed(self, view: BatchView) -> Refusal:
        """Return why the provider has refused a batch that it had taken."""
        return Refusal.TOO_MUCH if any(code in _TOO_MUCH for code, _ in view.errors) else Refusal.FINAL

    async def _once(self) -> None:
        bench, batch = self._bench, self.batch
        if batch.state == "creating":
            found = await find(bench, batch)
            if found is not None and found.status != "failed":
                await self._sent(found)
                return
        if not batch.file:
            async with bench.uploading:
                bench.check_api()
                file = await bench.provider.upload(f"tenire-{batch.id}.jsonl", bench.spool.path(batch.id))
            await bench.log.run(lambda ledger, _: ledger.provider_batches.uploaded(batch.id, file))
            batch = self.batch = batch._replace(state="uploaded", file=file)
        await bench.log.run(lambda ledger, _: ledger.provider_batches.creating(batch.id))
        self.batch = batch._replace(state="creating")
        async with bench.uploading:  # a provider without files is sent the lines now
            bench.check_api()
            view = await bench.provider.create(batch.file, batch.id, bench.spool.path(batch.id))
        await self._sent(view)

    async def _sent(self, view: BatchView) -> None:
        bench, batch = self._bench, self.batch
        # Known here first: a cancellation in between must not take it for one that was never handed over.
        self.batch = batch._replace(state="sent", provider_id=view.id, sent_at=bench.wall())
        bench.at_provider.add(batch.id)
        bench.account.sent(batch.lines)
        await bench.log.run(lambda ledger, _: ledger.provider_batches.sent(batch.id, view.id))


async def find(bench: Bench, batch: OpenBatch) -> BatchView | None:
    """Return what the provider has made of a batch, if it has; only asked when its answer was lost.

    Raises:
        ModelError: If that cannot be found out.
    """
    others = await bench.log.run(lambda ledger, _: ledger.provider_batches.provider_ids())
    lost = LostBatch(batch.id, batch.file, bench.spool.path(batch.id), batch.made_at, others)
    view = await bench.provider.find(lost)
    if view is None:
        await bench.timer.wait_until(bench.timer.now() + _LISTED_LATE_S)
        view = await bench.provider.find(lost)
    return view


def _why(error: ModelError) -> Refusal:
    if error.status == _TOO_LARGE:
        return Refusal.TOO_LARGE
    if isinstance(error, RateLimitedError):
        return Refusal.TOO_MUCH
    return Refusal.FINAL if kind_of(error) is Kind.PERMANENT else Refusal.FAILED
