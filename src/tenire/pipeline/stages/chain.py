"""Stages, one after the other, for a batch of rows.

::

    rows ──► what is kept of them? ──► stage 1 ──► keep ──► stage 2 ──► … ──► lines of the output
                                        │ pieces of its batch size, side by side
                                        └─► what it cannot do: quarantine, under its name

1. A row can become several items on the way, or none. It is done once all of them are
   through, and goes to quarantine as a whole if one of them cannot be done.
2. What a stage made is kept under what it was made from: the row, and all stages until
   then. So a row goes on behind the last stage of which that has not changed.
3. What the last stage made is the row's lines, which the ledger has anyway.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.pipeline.chunks import BATCH_ITEMS
from tenire.pipeline.progress import StageProgress
from tenire.pipeline.rows.lister import in_quarantine
from tenire.pipeline.rows.outbox import Outcome
from tenire.pipeline.stages.piece import Piece
from tenire.pipeline.stages.records import record_of
from tenire.pipeline.waits import first
from tenire.storage.rows import AnsweredRow, RefusedRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.clock import Clock
    from tenire.pipeline.home_session import HomeSession
    from tenire.pipeline.rows.lister import RowWork
    from tenire.pipeline.run_tasks import RunTasks
    from tenire.pipeline.stages.terms import StageTerms
    from tenire.storage.records import Run

__all__ = ["StageChain"]


@dataclass(slots=True)
class _Journey:
    """One row on its way.

    Attributes:
        work: The row.
        records: The items that it has become.
        made: What those were made from, by the number of stages behind them.
        passed: How many stages are behind it.
    """

    work: RowWork
    records: list[bytes]
    made: list[str]
    passed: int = 0


class StageChain:
    """See ``pipeline.rows.answering.Answering``.

    Args:
        tasks: The run's way to the engine.
        pipeline: The pipeline's name.
        terms: What decides which rows need work, with the stages.
        session: The home, for what is kept.
        clock: For the time that stages take.
    """

    def __init__(
        self, tasks: RunTasks, *, pipeline: str, terms: StageTerms, session: HomeSession, clock: Clock
    ) -> None:
        self._tasks = tasks
        self._pipeline = pipeline
        self._terms = terms
        self._stages = terms.stages
        self._session = session
        self._clock = clock
        self._any_kept: bool | None = None
        self.stages = tuple(StageProgress(stage.name, unit="item") for stage in self._stages)
        self.at_once = max(BATCH_ITEMS, *(stage.batch for stage in self._stages))

    async def answer(self, batch: Sequence[RowWork], put: Callable[[Outcome], None]) -> None:
        """See ``Answering``."""
        journeys = [self._begun(work) for work in batch]
        await self._recall(journeys)
        for number in range(len(self._stages)):
            here = [journey for journey in journeys if journey.passed == number]
            going = await self._pass(number, here, put)
            gone = {id(journey) for journey in here} - {id(journey) for journey in going}
            journeys = [journey for journey in journeys if id(journey) not in gone]
        for journey in journeys:
            row, request = journey.work.row, journey.work.request
            lines = b"".join(record + b"\n" for record in journey.records)
            put(Outcome(AnsweredRow(row.key, row.source, request, lines), journey.work.was_done))

    def forget(self, run: Run) -> None:
        """See ``Answering``."""
        self._session.ledger.stage_results.forget_vanished(run, stages=len(self._stages))

    def _begun(self, work: RowWork) -> _Journey:
        return _Journey(work, [record_of(work.row.id, work.row.fields)], self._terms.made_from(work.row))

    # -- what is kept ----------------------------------------------------------

    async def _recall(self, journeys: Sequence[_Journey]) -> None:
        """Let rows begin where an earlier run has got with them (rule 2)."""
        if self._any_kept is None:
            self._any_kept = await self._tasks.thread(self._session.within, self._look_for_any)
        if not self._any_kept:
            return
        found = await self._tasks.thread(self._session.within, self._look_up, journeys)
        for journey in journeys:
            if (kept := found.get(journey.work.row.key)) is not None:
                journey.passed, lines = kept
                journey.records = lines.splitlines()
                self.stages[0].waiting -= 1
                if journey.passed < len(self.stages):
                    self.stages[journey.passed].waiting += len(journey.records)

    def _look_for_any(self) -> bool:
        ledger = self._session.ledger
        return ledger.rows.count(self._pipeline) > 0 or ledger.stage_results.any(self._pipeline)

    def _look_up(self, journeys: Sequence[_Journey]) -> dict[str, tuple[int, bytes]]:
        found: dict[str, tuple[int, bytes]] = {}
        ledger = self._session.ledger
        lines = ledger.rows.answers(self._pipeline, [journey.work.row.key for journey in journeys])
        for journey in journeys:
            request, line = lines.get(journey.work.row.key, ("", b""))
            if request in journey.made[1:]:  # the last stage of then is one of these, or the last one again
                found[journey.work.row.key] = (journey.made.index(request), line)
        for number in range(len(self._stages), 0, -1):
            wanted = {
                journey.work.row.key: journey.made[number]
                for journey in journeys
                if found.get(journey.work.row.key, (0, b""))[0] < number
            }
            outputs = ledger.stage_results.get(self._pipeline, wanted, stage=number)
            found |= {key: (number, output) for key, output in outputs.items()}
        return found

    async def _keep(self, number: int, journeys: Sequence[_Journey]) -> None:
        if number == len(self._stages) - 1 or not self._stages[number].keep or not journeys:
            return
        made = [(journey.work.row.key, journey.made[number + 1], b"\n".join(journey.records)) for journey in journeys]
        put = self._session.ledger.stage_results.put

        def keep() -> None:
            put(self._pipeline, made, stage=number + 1)

        await self._tasks.thread(self._session.within, keep)

    # -- one stage ---------------------------------------------------------------

    async def _pass(self, number: int, journeys: Sequence[_Journey], put: Callable[[Outcome], None]) -> list[_Journey]:
        """Take rows through a stage; hand in those that it cannot do, and return the others."""
        stage, progress = self._stages[number], self.stages[number]
        records = [(journey, record) for journey in journeys for record in journey.records]
        pieces = [
            Piece(stage, [record for _, record in records[start : start + stage.batch]])
            for start in range(0, len(records), stage.batch)
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for piece in pieces:
                    group.create_task(piece.run(self._tasks, progress, self._clock, self._pipeline))
        except BaseExceptionGroup as failed:
            raise first(failed) from None
        results = [result for piece in pieces for result in piece.results]
        for journey in journeys:
            journey.records, journey.passed = [], number + 1
        failures: dict[int, str] = {}
        for (journey, _), result in zip(records, results, strict=True):
            if isinstance(result, str):
                failures.setdefault(id(journey), result)
            else:
                journey.records += result
        for journey in journeys:
            if (error := failures.get(id(journey))) is not None:
                row, request = journey.work.row, in_quarantine(journey.work.request, self._terms)
                refused = RefusedRow(row.key, row.source, request, stage.name, error, 1)
                put(Outcome(refused, journey.work.was_done))
        going = [journey for journey in journeys if id(journey) not in failures]
        if number + 1 < len(self.stages):
            self.stages[number + 1].waiting += sum(len(journey.records) for journey in going)
        await self._keep(number, going)
        return going
