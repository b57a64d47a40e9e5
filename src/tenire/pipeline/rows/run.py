"""One run of a row pipeline: list → answer → commit, side by side.

::

    source ──► chunks ──► batches ──► answering ──► outbox ──► ledger ──► output
      a thread               │                                   a thread
                             └── a place in flight and bytes of the budget are held
                                 until the batch is committed

1. The source is pulled only while there is room: at most ``IN_FLIGHT`` batches, and
   only as many bytes as the engine's budget lends.
2. A row counts once its answer is in the ledger; the output follows, and is made anew
   from the ledger whenever it may not be what it should.
3. Rows leave the ledger, and the output its order, only after the source was read
   to its end.
4. What is wrong with a row goes to quarantine; what is wrong with all of them ends
   the run.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tenire.pipeline.chunks import batches, bytes_held
from tenire.pipeline.flow import flowing
from tenire.pipeline.progress import StageProgress
from tenire.pipeline.room import Room
from tenire.pipeline.rows.kept import KeptOutput
from tenire.pipeline.rows.lister import RowLister
from tenire.pipeline.rows.outbox import Outbox, Outcome
from tenire.pipeline.run_life import RunLife
from tenire.pipeline.waits import kept
from tenire.storage.rows import AnsweredRow, RefusedRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AsyncExitStack

    from tenire.clock import Clock
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.pipeline.home_session import HomeSession
    from tenire.pipeline.progress import PipelineProgress
    from tenire.pipeline.rows.answering import Answering
    from tenire.pipeline.rows.lister import RowChunk, RowWork
    from tenire.pipeline.rows.output import Output
    from tenire.pipeline.rows.recipe import RowTerms
    from tenire.pipeline.rows.records import Row, Rows
    from tenire.pipeline.run_tasks import RunTasks
    from tenire.storage.records import Run

__all__ = ["IN_FLIGHT", "RowRun"]

IN_FLIGHT = 32
"""Batches between the source and their commit, for one pipeline."""


class RowRun:
    """One run of one row pipeline.

    Args:
        name: The pipeline's name; its tasks are charged to it.
        manager: The engine.
        session: The home, with its ledger.
        source: Where rows come from.
        recipe: What decides which of them need an answer.
        answering: Makes what answers them, given the run's way to the engine.
        output: Where answers go.
        progress: Where to count.
        clock: For the duration.
        retries_only: Whether only rows that are to be tried again are looked at; then
            no other counts, and none is removed.
        count: Called now and then, and at the end: counts what answers cost.
        ahead: Is given all rows that need an answer, before any of them is answered;
            ``None`` if nothing is to be done ahead.
        first: Called with the run before a row is looked at: finds or makes what the rows'
            requests depend on; ``None`` if there is no such thing.
    """

    def __init__(
        self,
        name: str,
        *,
        manager: ConcurrencyManager,
        session: HomeSession,
        source: Rows,
        recipe: RowTerms,
        answering: Callable[[RunTasks], Answering],
        output: Output,
        progress: PipelineProgress,
        clock: Clock,
        retries_only: bool = False,
        count: Callable[[], object] = lambda: None,
        ahead: Callable[[AsyncIterator[Row]], Awaitable[None]] | None = None,
        first: Callable[[Run], Awaitable[None]] | None = None,
    ) -> None:
        self._life = RunLife(name, manager=manager, session=session, progress=progress, clock=clock, count=count)
        self._tasks = self._life.tasks
        self._name = name
        self._session = session
        self._source = source
        self._recipe = recipe
        self._progress = progress
        self._clock = clock
        self._retries_only = retries_only
        self._ahead = ahead
        self._first = first
        progress.unit = "row"
        self._answering = answering(self._tasks)
        self._storing = StageProgress("store", unit="row")
        progress.stages = [*self._answering.stages, self._storing]
        self._room = Room(manager.data_manager, pipeline=name, places=IN_FLIGHT)
        self._outbox = Outbox(self._commit)
        self._kept = KeptOutput(name, output, session)

    async def run(self) -> None:
        """Run the pipeline to its end; counts in its progress.

        Raises:
            TenireError: If the pipeline as a whole cannot go on. What was committed
                until then is kept.
        """
        async with self._life as life:
            await self._tasks.thread(self._source.require_fields, self._recipe.fields, self._recipe.key)
            run = await life.begin(at_end=self._end)
            await self._tasks.thread(self._kept.begin)
            if self._first is not None:
                await self._first(run)
            if self._ahead is not None:
                await self._ahead(self._rows_ahead(run))
                await self._tasks.thread(self._session.ledger.rows.forget_listed, run)
            if self._retries_only:  # the source is no measure of these
                self._progress.expected = await self._tasks.thread(self._session.ledger.rows.to_retry, self._name)
            lister = self._lister(run)
            try:
                await self._answer_all(lister)
            except Exception:
                await self._outbox.flush()
                raise
            if not self._retries_only:
                await self._remove_vanished(run)
            await self._arrange(run, lister.order)

    def _end(self, run: Run, state: str) -> None:
        try:
            self._kept.end(mend=state == "failed")
        finally:
            self._session.ledger.rows.forget_listed(run)

    @property
    def tasks(self) -> RunTasks:
        """The tasks of the run."""
        return self._tasks

    # -- list, answer ----------------------------------------------------------

    def _lister(self, run: Run) -> RowLister:
        return RowLister(
            self._source.rows(),
            ledger=self._session.ledger,
            run=run,
            recipe=self._recipe,
            retries_only=self._retries_only,
        )

    async def _rows_ahead(self, run: Run) -> AsyncIterator[Row]:
        lister = self._lister(run)
        while (chunk := await self._tasks.thread(lister.next_chunk)) is not None:
            for work in chunk.work:
                yield work.row

    async def _answer_all(self, lister: RowLister) -> None:
        async with flowing(self._room) as flow:
            flow.beside(self._outbox.run())
            while (chunk := await self._next_chunk(lister)) is not None:
                self._take(chunk)
                for batch in batches(chunk.work, items=self._answering.at_once):
                    held = await self._room.take(bytes_held(batch))
                    flow.start(self._answer_batch(batch, held))
            await flow.drained()
            self._outbox.close()

    async def _next_chunk(self, lister: RowLister) -> RowChunk | None:
        await self._source.fetch()
        return await self._life.next_chunk(lister)

    def _take(self, chunk: RowChunk) -> None:
        self._answering.stages[0].waiting += len(chunk.work)
        for refused, was_done in chunk.refused:
            self._outbox.put(Outcome(refused, was_done))
        if chunk.work and self._source.repeatable and not self._retries_only:
            self._life.count_ahead(self._source.sizes)

    async def _answer_batch(self, batch: Sequence[RowWork], held: AsyncExitStack) -> None:
        await self._answering.answer(batch, self._outbox.put)
        await self._outbox.settled()
        await held.aclose()

    # -- commit ------------------------------------------------------------------

    async def _commit(self, outcomes: Sequence[Outcome]) -> None:
        def count(answered: int) -> None:
            self._progress.done += answered
            self._progress.quarantined += len(outcomes) - answered
            self._storing.done += answered

        with self._storing.at_work(self._clock.now):
            await kept(self._tasks.thread(self._apply, outcomes), count)

    def _apply(self, outcomes: Sequence[Outcome]) -> int:
        answered = [outcome.row for outcome in outcomes if isinstance(outcome.row, AnsweredRow)]
        refused = [outcome.row for outcome in outcomes if isinstance(outcome.row, RefusedRow)]
        self._kept.open()
        self._session.within(self._session.ledger.rows.apply, self._life.run, answered, refused)
        self._kept.add(outcomes)
        return len(answered)

    # -- the end -----------------------------------------------------------------

    async def _remove_vanished(self, run: Run) -> None:
        removed, some = -1, partial(self._session.within, self._session.ledger.rows.remove_vanished, run)
        while removed:
            removed = await self._tasks.thread(self._kept.remove, some)
            self._progress.removed += removed

    async def _arrange(self, run: Run, order: str) -> None:
        removed = self._progress.removed > 0
        changed = removed or self._progress.done > 0
        arrange = partial(self._kept.arrange, run, order, changed=changed, removed=removed, others=self._retries_only)
        await self._tasks.submit(arrange, step="arrange", on="thread")
        if changed and not self._retries_only:
            await self._tasks.thread(self._session.within, self._answering.forget, run)
