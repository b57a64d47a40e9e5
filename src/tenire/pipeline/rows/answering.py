"""How a batch of rows is answered, as far as the run needs to know; and one way to do it: row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tenire.pipeline.chunks import BATCH_ITEMS
from tenire.pipeline.progress import StageProgress
from tenire.pipeline.rows.lines import line
from tenire.pipeline.rows.lister import in_quarantine
from tenire.pipeline.rows.outbox import Outcome
from tenire.pipeline.rows.recipe import RowError
from tenire.pipeline.rows.under_way import UnderWay
from tenire.pipeline.waits import all_or_first_failure
from tenire.storage.rows import AnsweredRow, RefusedRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.clock import Clock
    from tenire.pipeline.rows.lister import RowWork
    from tenire.pipeline.rows.recipe import RowRecipe
    from tenire.pipeline.run_tasks import RunTasks
    from tenire.storage.records import Run

__all__ = ["Answering", "OneByOne"]


class Answering(Protocol):
    """Answers batches of rows, several at a time."""

    @property
    def stages(self) -> Sequence[StageProgress]:
        """What is counted of it, in order; rows wait in front of the first one."""
        ...

    @property
    def at_once(self) -> int:
        """Most rows of one batch."""
        ...

    async def answer(self, batch: Sequence[RowWork], put: Callable[[Outcome], None]) -> None:
        """Answer rows, and hand in what came of each of them, once.

        Raises:
            Exception: What ends the run. What was handed in until then is kept.
        """
        ...

    def forget(self, run: Run) -> None:
        """Forget what is kept of rows that have left; on a thread, once the source was read to its end."""
        ...


class OneByOne:
    """Answers each row by a task of its own, on the loop.

    Args:
        tasks: The run's way to the engine.
        recipe: What is done to each row.
        clock: For the time that it takes.
        at_once: Most rows of one batch.
        slots: Tells how many rows can be answered at the same time, as far as is known now;
            ``None`` if that is no question.
    """

    def __init__(
        self,
        tasks: RunTasks,
        recipe: RowRecipe,
        *,
        clock: Clock,
        at_once: int = BATCH_ITEMS,
        slots: Callable[[], int] | None = None,
    ) -> None:
        self._tasks = tasks
        self._recipe = recipe
        self._clock = clock
        self._stage = StageProgress("answer", unit="row")
        self.stages = (self._stage,)
        self.at_once = at_once
        self._under_way = None if slots is None else UnderWay(slots)

    async def answer(self, batch: Sequence[RowWork], put: Callable[[Outcome], None]) -> None:
        """See ``Answering``."""
        under_way = self._under_way
        if under_way is not None:
            await under_way.begin(len(batch))
        handles = [self._tasks.submit(self._answer, work, put, step="answer", on="loop") for work in batch]
        if under_way is not None:
            for handle in handles:
                handle.add_done_callback(under_way.ended)
        try:
            await all_or_first_failure(handles)
        finally:
            for handle in handles:
                handle.cancel()

    def forget(self, run: Run) -> None:
        """See ``Answering``: nothing is kept here."""

    async def _answer(self, work: RowWork, put: Callable[[Outcome], None]) -> None:
        row, stage = work.row, self._stage
        stage.waiting -= 1
        result: AnsweredRow | RefusedRow
        try:
            with stage.at_work(self._clock.now):
                said = await self._recipe.answer(row)
        except RowError as error:
            request = in_quarantine(work.request, self._recipe)
            result = RefusedRow(row.key, row.source, request, error.stage, str(error), error.attempts)
        else:
            result = AnsweredRow(row.key, row.source, work.request, line({"id": row.id, **said}))
        stage.done += 1
        put(Outcome(result, work.was_done))
