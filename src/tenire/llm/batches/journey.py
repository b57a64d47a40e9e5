"""One batch, from its file to its last reply; what it leaves undone goes into others.

::

    hand over ──► look ──► settle ──► gone
        │           │         │
        ├ two       └ handed  └ one more batch
        │ halves      over      of what is left
        │             again
        └ nothing, where the provider turns out to have no batch API
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.unbroken import unbroken
from tenire.core.batch_files import halving
from tenire.core.batch_refusal import Step
from tenire.core.retrying import Kind
from tenire.errors import BadRequestError, ModelError, ServerError
from tenire.llm.batches.bench import BatchOutcome
from tenire.llm.batches.files import opened
from tenire.llm.batches.handing import Handing
from tenire.llm.batches.provider import MAYBE
from tenire.llm.batches.settling import Settling
from tenire.llm.failures import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from tenire.llm.batches.bench import Bench
    from tenire.llm.batches.provider import BatchView
    from tenire.llm.batches.spool import Lines
    from tenire.storage.provider_batches import OpenBatch

__all__ = ["Journey", "new_batch_id"]

_LAST_WORD_S = 5.0
_AT_ONCE = 100
_NOT_FOUND = 404


def new_batch_id() -> str:
    """Return an id that no other batch has."""
    return uuid4().hex


class Journey:
    """Sees one batch through.

    Args:
        bench: What batches work with.
        batch: The batch.
        wanted: Whether somebody waits for a request of it.
    """

    def __init__(self, bench: Bench, batch: OpenBatch, wanted: Callable[[bytes], bool]) -> None:
        self._bench = bench
        self._handing = Handing(bench, batch)
        self._wanted = wanted
        self._cancelled = False
        self._cost = 0
        self._left: list[OpenBatch] = []
        self._given_back: list[bytes] | None = None

    @property
    def batch(self) -> OpenBatch:
        """The batch as it is now."""
        return self._handing.batch

    async def run(self) -> list[OpenBatch]:
        """See it through; return the batches that it left.

        Raises:
            ModelError: If no other batch would fare better.
            BudgetError: If it could cost more than may be spent.
        """
        bench, known = self._bench, self.batch
        bench.log.watch(known.id)
        held = 0
        try:
            held = await bench.account.hold(known.held, handed_over=known.state == "sent")
            left = await self._through()
        except BaseException:
            await unbroken(self._leave())
            raise
        finally:
            bench.at_provider.discard(known.id)
            bench.log.unwatch(known.id)
            bench.account.close(held, self._cost)
        if self._given_back is not None:  # now that what it held is free: those who ask at once need it
            await self._give_back(self._given_back)
        return left

    async def _through(self) -> list[OpenBatch]:
        bench = self._bench
        if self.batch.state == "sent":
            bench.at_provider.add(self.batch.id)
        else:
            try:
                step = await self._handing.hand_over()
            except ModelError as error:
                if not bench.goes_on_without(error):
                    raise
                return await self._forget()
            if step is not Step.WAIT:
                return await self._not_taken(step)
        while (view := await self._look()) is not None and view.status == "failed":
            step = await self._rejected(view)
            if step is not Step.WAIT:
                return await self._not_taken(step)
        async with self._lines() as lines:
            settling = await self._settling(lines)
            try:
                if view is not None:
                    await settling.settle(view)
            finally:
                self._cost = settling.cost
            left = await self._finish(settling, lines)
        await self._clean_up(view)
        return left

    # -- hand over ---------------------------------------------------------------

    async def _rejected(self, view: BatchView) -> Step:
        """Decide what to do with a batch that the provider had taken, and then refused as a whole."""
        bench = self._bench
        bench.at_provider.discard(self.batch.id)
        step = await self._handing.refused(self._handing.failed(view))
        if step is Step.GIVE_UP:
            why = "; ".join(f"{message} ({code})" for code, message in view.errors[:3]) or "it does not say why"
            await self._drop()
            message = f"expected batch {view.id} to be worked on, got status failed: {why}"
            raise BadRequestError(message, code=view.errors[0][0] if view.errors else None)
        if step is Step.WAIT:
            self._handing.reset()
            step = await self._handing.hand_over()
        return step

    async def _not_taken(self, step: Step) -> list[OpenBatch]:
        """Halve a batch that is too large; a single line that is too large is told."""
        async with self._lines() as lines:
            keys = list(lines)
            if step is Step.HALVE and len(keys) > 1:
                place = halving(await run_blocking(lambda: [len(line) for line in lines.some(keys)]))
                return await self._move([keys[:place], keys[place:]], lines, tried=False)
        await self._drop()
        error = BadRequestError("expected a provider that takes this request in a batch, got: too large", status=413)
        for key in keys:
            await self._bench.tell(BatchOutcome(key, error=error))
        return []

    async def _forget(self) -> list[OpenBatch]:
        """Let nothing hold the lines of a batch any more: they are to be asked in another way."""
        bench, batch = self._bench, self.batch
        if batch.file:
            with suppress(ModelError):
                await bench.provider.delete(batch.file)
        async with bench.joining:
            left = await bench.log.run(lambda ledger, _: ledger.provider_batches.left(batch.id))
            self._given_back = [key for key in left if self._wanted(key)]
            await bench.log.run(lambda ledger, _: ledger.provider_batches.drop(batch.id))
        return []

    async def _give_back(self, every: Sequence[bytes]) -> None:
        bench = self._bench
        try:
            async with self._lines() as lines:
                for start in range(0, len(every), _AT_ONCE):
                    for key, line in await run_blocking(_lines_of, lines, every[start : start + _AT_ONCE]):
                        await bench.tell(BatchOutcome(key, line=line))
        finally:
            await unbroken(run_blocking(bench.spool.drop, self.batch.id))

    # -- look ---------------------------------------------------------------------

    async def _look(self) -> BatchView | None:
        """Wait until the batch has ended; ``None`` if the provider knows it no more."""
        bench, timer = self._bench, self._bench.timer
        now = timer.now()
        begun_at = now - max(0.0, bench.wall() - self.batch.sent_at)
        at = bench.looks.next_at(now, now) if begun_at == now else now  # one of an earlier run may have ended
        failures = 0
        while True:
            await timer.wait_until(at)
            await timer.wait_until(bench.looks.turn(timer.now()))
            not_before = float("-inf")
            try:
                view = await self._see()
                if view is None or view.ended:
                    return view
                await self._heed_cancellation()
            except ModelError as error:
                if kind_of(error) is Kind.PERMANENT:
                    raise
                failures += 1
                not_before = timer.now() + (error.retry_after or 0.0)
            else:
                failures = 0
            now = timer.now()
            at = bench.looks.next_at(begun_at, now, failures=failures, not_before=not_before)

    async def _see(self) -> BatchView | None:
        """Return how far the batch is; ``None`` if the provider knows it no more."""
        name = self.batch.provider_id
        view = None
        try:
            view = await self._bench.provider.look(name)
        except ModelError as error:
            if error.status != _NOT_FOUND:
                raise
        if name.startswith(MAYBE) and (view is None or view.ended):
            return await self._handing.make_sure()
        return view

    async def _heed_cancellation(self) -> None:
        """Have the provider end a batch that somebody has given up."""
        bench, batch = self._bench, self.batch
        if self._cancelled or not await bench.log.run(lambda ledger, _: ledger.provider_batches.unwanted(batch.id)):
            return
        self._cancelled = True
        with suppress(BadRequestError):  # it has ended by itself
            await bench.provider.cancel(batch.provider_id)

    # -- settle -------------------------------------------------------------------

    def _lines(self) -> AbstractAsyncContextManager[Lines]:
        return opened(partial(self._bench.spool.open, self.batch.id))

    async def _settling(self, lines: Lines) -> Settling:
        bench, batch = self._bench, self.batch
        tries = await bench.log.run(lambda ledger, _: ledger.provider_batches.left(batch.id))
        return Settling(bench, batch, tries, lines)

    async def _finish(self, settling: Settling, lines: Lines) -> list[OpenBatch]:
        """Say what becomes of the lines that have not ended; return the batch that they are in now."""
        bench, batch = self._bench, self.batch
        if settling.stop is not None:
            await self._drop()  # the next run asks again what is left
            raise settling.stop
        # A provider that has answered nothing at all has had its time for every line.
        tried = not settling.results
        async with bench.joining:
            left = await bench.log.run(lambda ledger, _: ledger.provider_batches.left(batch.id))
            spent = {key for key, tries in left.items() if tries + tried >= bench.most_tries}
            wanted = [key for key in left if self._wanted(key)]
            resubmit = bench.resubmit()
            again = [key for key in wanted if resubmit and key in lines and key not in spent]
            others = set(wanted).difference(again)
            lost = await run_blocking(_lines_of, lines, others)
            moved = await self._move([again] if again else [], lines, tried=tried)
        for key, line in lost:
            error = _unanswered(bench.most_tries) if resubmit and key in spent else None
            await bench.tell(BatchOutcome(key, error=error, line=None if error else line))
        return moved

    async def _move(self, parts: list[Collection[bytes]], lines: Lines, *, tried: bool) -> list[OpenBatch]:
        bench, batch = self._bench, self.batch
        named = {new_batch_id(): keys for keys in parts}

        async def move() -> None:
            for name, keys in named.items():
                await run_blocking(bench.spool.write, name, lines.some(keys))
            self._left = await bench.log.run(
                lambda ledger, owner: ledger.provider_batches.move(owner, batch, named, tried=tried)
            )
            await run_blocking(bench.spool.drop, batch.id)

        await unbroken(move())
        return self._left

    async def _drop(self, batch: OpenBatch | None = None) -> None:
        bench, batch = self._bench, batch or self.batch
        await bench.log.run(lambda ledger, _: ledger.provider_batches.drop(batch.id))
        await run_blocking(bench.spool.drop, batch.id)

    # -- leave --------------------------------------------------------------------

    async def _leave(self) -> None:
        """Let the next run go on with what the provider has, or may have; forget what it has not."""
        bench, batch = self._bench, self.batch
        for left in self._left:
            await self._drop(left)
        if batch.state in ("made", "uploaded"):
            await self._drop()
            return
        if batch.state == "sent":
            with suppress(ModelError, TimeoutError):  # the next run has it cancelled
                async with asyncio.timeout(_LAST_WORD_S):
                    await self._heed_cancellation()
        await bench.log.run(lambda ledger, _: ledger.provider_batches.release(batch.id))

    async def _clean_up(self, view: BatchView | None) -> None:
        """Delete the provider's files; those that cannot be deleted go by themselves some day."""
        if view is None:
            return
        for file in (view.input_file or self.batch.file, *view.results):
            with suppress(ModelError):
                await self._bench.provider.delete(file)


def _lines_of(lines: Lines, keys: Iterable[bytes]) -> list[tuple[bytes, bytes | None]]:
    return [(key, lines.get(key)) for key in keys]


def _unanswered(tries: int) -> ServerError:
    message = f"expected a reply to each request of a batch, got none in {tries} batches"
    return ServerError(message, hint="use mode = 'realtime' for it, or run the same again")
