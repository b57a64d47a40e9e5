"""One run of a row pipeline: list → answer → commit, side by side.

::

    source ──► chunks ──► batches ──► one task a row ──► outbox ──► ledger ──► output
      a thread               │           the loop                      a thread
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

import asyncio
import json
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.pipeline.progress import StageProgress
from tenire.pipeline.room import Room
from tenire.pipeline.rows.kept import KeptOutput
from tenire.pipeline.rows.lister import RowLister, in_quarantine
from tenire.pipeline.rows.outbox import Outbox, Outcome
from tenire.pipeline.rows.recipe import RowError
from tenire.pipeline.waits import all_or_first_failure, ended, first, seen
from tenire.storage.rows import AnsweredRow, RefusedRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
    from contextlib import AsyncExitStack

    from tenire.clock import Clock
    from tenire.concurrency.handle import Handle
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.pipeline.home_session import HomeSession
    from tenire.pipeline.progress import PipelineProgress
    from tenire.pipeline.rows.lister import RowChunk, RowWork
    from tenire.pipeline.rows.output import RowOutput
    from tenire.pipeline.rows.recipe import RowRecipe
    from tenire.pipeline.rows.records import Row
    from tenire.pipeline.rows.source import RowSource
    from tenire.storage.records import Run

__all__ = ["IN_FLIGHT", "RowRun"]

IN_FLIGHT = 32
"""Batches between the source and their commit, for one pipeline."""

BATCH_ROWS = 64
BATCH_BYTES = 256 << 10

_BYTES_HELD_PER_BYTE = 4
"""A byte of a row is held up to four times: as read, as fields, as prompt, as request."""

_TICK_S = 0.1
_LONGEST_TICK_S = 0.4

_LAST_WORD_S = 0.3
"""Seconds that a commit gets to end, and so to count, when its run is cancelled."""


class RowRun:
    """One run of one row pipeline.

    Args:
        name: The pipeline's name; its tasks are charged to it.
        manager: The engine.
        session: The home, with its ledger.
        source: Where rows come from.
        recipe: What to do with them.
        output: Where answers go.
        progress: Where to count.
        clock: For the duration.
        retries_only: Whether only rows that are to be tried again are looked at; then
            no other counts, and none is removed.
        count: Called now and then, and at the end: counts what answers cost.
        ahead: Is given all rows that need an answer, before any of them is answered;
            ``None`` if nothing is to be done ahead.
    """

    def __init__(
        self,
        name: str,
        *,
        manager: ConcurrencyManager,
        session: HomeSession,
        source: RowSource,
        recipe: RowRecipe,
        output: RowOutput,
        progress: PipelineProgress,
        clock: Clock,
        retries_only: bool = False,
        count: Callable[[], object] = lambda: None,
        ahead: Callable[[AsyncIterator[Row]], Awaitable[None]] | None = None,
    ) -> None:
        self._ahead = ahead
        self._count = count
        self._name = name
        self._manager = manager
        self._session = session
        self._source = source
        self._recipe = recipe
        self._progress = progress
        self._clock = clock
        progress.unit = "row"
        self._retries_only = retries_only
        self._answering, self._storing = progress.stages = [StageProgress("answer"), StageProgress("store")]
        self._room = Room(manager.data_manager, pipeline=name, places=IN_FLIGHT)
        self._outbox = Outbox(self._commit)
        self._kept = KeptOutput(name, output, session)
        self._counting = False
        self._run: Run | None = None

    async def run(self) -> None:
        """Run the pipeline to its end; counts in ``progress``.

        Raises:
            TenireError: If the pipeline as a whole cannot go on. What was committed
                until then is kept.
        """
        progress = self._progress
        started = self._clock.now()
        progress.state = "running"

        def tick() -> None:
            progress.seconds = self._clock.now() - started
            self._count()

        ticking = self._manager.control.every(_TICK_S, tick, longest=_LONGEST_TICK_S)
        state = "failed"
        try:
            await self._thread(self._source.require_fields, self._recipe.fields, self._recipe.key)
            self._run = await self._thread(self._session.start_run, self._name, "")
            await self._thread(self._kept.begin)
            if self._ahead is not None:
                await self._ahead(self._rows_ahead(self._run))
                await self._thread(self._session.ledger.rows.forget_listed, self._run)
            lister = self._lister(self._run)
            await self._answer_all(lister)
            await self._finish(lister)
            state = "done"
        except asyncio.CancelledError:
            state = "cancelled"
            raise
        finally:
            ticking.cancel()
            tick()
            progress.state = state
            self._manager.orchestrator.suspend(self._name, None)  # or a paused one could not note its end
            if self._run is not None:
                await self._note_end(self._run, state)

    async def _note_end(self, run: Run, state: str) -> None:
        noting = self._thread(self._end, run, state, self._progress.totals())
        cancelled = await ended(noting, last_word=_LAST_WORD_S)
        if cancelled is not None:
            raise cancelled
        if state == "done":
            await noting
        else:
            seen(noting)  # what ended the run is the better story

    def _end(self, run: Run, state: str, totals: dict[str, Any]) -> None:
        try:
            self._kept.end(mend=state == "failed")
        finally:
            self._session.ledger.rows.forget_listed(run)
            self._session.finish_run(run, state, totals)

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
        while (chunk := await self._thread(lister.next_chunk)) is not None:
            for work in chunk.work:
                yield work.row

    # -- list, answer ----------------------------------------------------------

    async def _answer_all(self, lister: RowLister) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._outbox.run())
                answering: set[asyncio.Task[None]] = set()
                while (chunk := await self._thread(lister.next_chunk)) is not None:
                    self._take(chunk)
                    for batch in batches(chunk.work):
                        held = await self._room.take(sum(work.row.size for work in batch) * _BYTES_HELD_PER_BYTE)
                        task = tasks.create_task(self._answer_batch(batch, held))
                        answering.add(task)
                        task.add_done_callback(answering.discard)
                self._progress.listed = True
                if answering:
                    await asyncio.wait(answering)
                self._outbox.close()
        except BaseExceptionGroup as group:
            # One cause is enough for people; the others are its echo in other rows.
            cause = first(group)
            if not isinstance(cause, asyncio.CancelledError):
                await self._outbox.flush()
            raise cause from None
        finally:
            await self._room.aclose()

    def _take(self, chunk: RowChunk) -> None:
        progress = self._progress
        progress.seen += chunk.seen
        progress.unchanged += chunk.unchanged
        progress.quarantined += chunk.quarantined
        self._answering.waiting += len(chunk.work)
        for refused, was_done in chunk.refused:
            self._outbox.put(Outcome(refused, was_done))
        if chunk.work and not self._counting:
            self._counting = True
            self._thread(self._count_ahead).add_done_callback(seen)

    def _count_ahead(self) -> None:
        """Count the source to its end, for the display: the listing itself waits for room."""
        progress = self._progress
        for rows in self._source.count():
            if progress.listed or progress.state != "running":
                return
            progress.expected = rows
        progress.listed = not self._retries_only

    async def _answer_batch(self, batch: Sequence[RowWork], held: AsyncExitStack) -> None:
        handles = [self._submit(self._answer, work, on="loop", name=f"{self._name}: answer") for work in batch]
        try:
            await all_or_first_failure(handles)
        finally:
            for handle in handles:
                handle.cancel()
        await self._outbox.settled()
        await held.aclose()

    async def _answer(self, work: RowWork) -> None:
        row, stage = work.row, self._answering
        stage.waiting -= 1
        stage.running += 1
        started = self._clock.now()
        result: AnsweredRow | RefusedRow
        try:
            said = await self._recipe.answer(row)
        except RowError as error:
            request = in_quarantine(work.request, self._recipe)
            result = RefusedRow(row.key, row.source, request, error.stage, str(error), error.attempts)
        else:
            result = AnsweredRow(row.key, row.source, work.request, line({"id": row.id, **said}))
        finally:
            stage.running -= 1
            stage.busy_s += self._clock.now() - started
        stage.done += 1
        self._outbox.put(Outcome(result, work.was_done))

    # -- commit ------------------------------------------------------------------

    async def _commit(self, outcomes: Sequence[Outcome]) -> None:
        self._storing.running += 1
        applying = self._thread(self._apply, outcomes)
        try:
            cancelled = await ended(applying, last_word=_LAST_WORD_S)
            await applying
        finally:
            self._storing.running -= 1
        answered = sum(isinstance(outcome.row, AnsweredRow) for outcome in outcomes)
        self._progress.done += answered
        self._progress.quarantined += len(outcomes) - answered
        self._storing.done += answered
        if cancelled is not None:
            raise cancelled

    def _apply(self, outcomes: Sequence[Outcome]) -> None:
        assert self._run is not None
        answered = [outcome.row for outcome in outcomes if isinstance(outcome.row, AnsweredRow)]
        refused = [outcome.row for outcome in outcomes if isinstance(outcome.row, RefusedRow)]
        self._session.within(self._session.ledger.rows.apply, self._run, answered, refused)
        self._kept.add(outcomes)

    async def _finish(self, lister: RowLister) -> None:
        assert self._run is not None
        removed = -1
        while removed and not self._retries_only:
            removed = await self._thread(self._session.within, self._session.ledger.rows.remove_vanished, self._run)
            self._progress.removed += removed
        if self._retries_only:
            return
        changed = bool(self._progress.done or self._progress.removed)
        await self._thread(self._kept.arrange, self._run, lister.order, changed)

    # -- tasks ----------------------------------------------------------------

    def _submit(self, fn: Callable[..., Any], *args: Any, **options: Any) -> Handle[Any]:
        return self._manager.submit(fn, *args, pipeline=self._name, **options)

    def _thread(self, fn: Callable[..., Any], *args: Any) -> Handle[Any]:
        return self._submit(fn, *args, on="thread", name=f"{self._name}: {getattr(fn, '__name__', 'step')}")


def batches(work: Iterable[RowWork]) -> Iterator[list[RowWork]]:
    """Cut work into batches: up to ``BATCH_ROWS`` rows and ``BATCH_BYTES`` each; a larger row is one by itself."""
    batch: list[RowWork] = []
    size = 0
    for item in work:
        if batch and (size + item.row.size > BATCH_BYTES or len(batch) == BATCH_ROWS):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.row.size
    if batch:
        yield batch


def line(record: dict[str, Any]) -> bytes:
    """Return one line of JSON."""
    try:
        return msgspec.json.encode(record) + b"\n"
    except UnicodeEncodeError:  # half of a pair of surrogates, which only an escape can say
        return json.dumps(record).encode() + b"\n"
