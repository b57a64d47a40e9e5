"""Rows that a model of any kind is asked about, by a pool: loaded once, in batches, the bad item found.

What batches are, and what becomes of one that fails, is the pool's to decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.core.tasks import Priority
from tenire.ml.predicting import OF_ALL, refused
from tenire.pipeline.progress import StageProgress
from tenire.pipeline.rows.lines import line
from tenire.pipeline.rows.outbox import Outcome
from tenire.storage.rows import AnsweredRow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tenire.clock import Clock
    from tenire.ml.item_terms import ItemTerms
    from tenire.ml.pool import ModelPool
    from tenire.ml.tally import ResultTally
    from tenire.pipeline.rows.lister import RowWork
    from tenire.storage.records import Run

__all__ = ["ItemPredicting", "PooledRun"]

_AT_ONCE = 128


class ItemPredicting:
    """See ``pipeline.rows.answering.Answering``.

    Args:
        pool: Has the model, under the name that ``terms`` say.
        terms: What is asked.
        clock: For the time that it takes.
        tally: Is told of rows whose right result is known.
    """

    at_once = _AT_ONCE

    def __init__(self, pool: ModelPool, *, terms: ItemTerms, clock: Clock, tally: ResultTally) -> None:
        self._pool = pool
        self._terms = terms
        self._clock = clock
        self._tally = tally
        self._stage = StageProgress("predict", unit="row")
        self.stages = (self._stage,)

    async def answer(self, batch: Sequence[RowWork], put: Callable[[Outcome], None]) -> None:
        """See ``Answering``."""
        stage, terms = self._stage, self._terms
        stage.waiting -= len(batch)
        items = [terms.item(work.row) for work in batch]
        with stage.at_work(self._clock.now, len(batch)):
            async for place, found in self._pool.map(terms.model, items, priority=Priority.NORMAL):
                put(self._outcome(batch[place], found))
        stage.done += len(batch)

    def forget(self, run: Run) -> None:
        """See ``Answering``: nothing is kept here."""

    def _outcome(self, work: RowWork, found: Any) -> Outcome:
        row = work.row
        if isinstance(found, OF_ALL):
            raise found
        if isinstance(found, Exception):
            return refused(work, self._terms, found)
        if row.fields.get("label") is not None:
            self._tally.add(row.fields["label"], found)
        said = line({"id": row.id, "output": found})
        return Outcome(AnsweredRow(row.key, row.source, work.request, said), work.was_done)


class PooledRun:
    """A run during which a pool is open.

    Args:
        pool: The pool.
        run: Runs the pipeline.
    """

    def __init__(self, pool: ModelPool, run: Callable[[], Awaitable[None]]) -> None:
        self._pool = pool
        self._run = run

    async def run(self) -> None:
        """Run the pipeline to its end, and let its model go.

        Raises:
            TenireError: If the pipeline as a whole cannot go on. What was finished is kept.
        """
        async with self._pool:
            await self._run()
