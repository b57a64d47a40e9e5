"""What becomes of rows whose prediction failed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tenire.clock import SYSTEM_CLOCK
from tenire.errors import NoWorkerError, WorkerDiedError
from tenire.ml.item_predicting import ItemPredicting
from tenire.ml.item_terms import ItemTerms
from tenire.ml.predicting import Asked, Predicting, PredictingTerms
from tenire.pipeline.rows.lister import RowWork
from tenire.pipeline.rows.records import Row
from tenire.storage.rows import RefusedRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tenire.pipeline.rows.outbox import Outcome

NOBODY = NoWorkerError("no worker process can be started", task="p: predict")
DIED = WorkerDiedError("the worker process died", task="p: predict", exit_code=-9)


def work(number: int) -> RowWork:
    row = Row(str(number), number, True, "rows.jsonl", f"line {number}", {"id": number, "text": "a text"}, 10)
    return RowWork(row, f"request {number}", False)


class Failing:
    """Stands for the way to an engine, and for a pool: all that is asked fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls = 0

    async def submit(self, fn: Any, *args: Any, **options: Any) -> Any:
        self.calls += 1
        raise self.error

    async def map(self, name: str, items: list[Any], **options: Any) -> AsyncIterator[tuple[int, Any]]:
        for place in range(len(items)):
            yield place, self.error


def outcomes(kind: str, error: Exception) -> list[Outcome]:
    """Return what becomes of four rows."""
    found: list[Outcome] = []
    failing = cast("Any", Failing(error))
    answering: Predicting | ItemPredicting
    if kind == "classifier":
        terms = PredictingTerms(Asked("home", "topics"), "pipelines.p")
        answering = Predicting(failing, terms=terms, clock=SYSTEM_CLOCK)
    else:
        tally = cast("Any", SimpleNamespace())
        answering = ItemPredicting(failing, terms=ItemTerms("m", "pipelines.p"), clock=SYSTEM_CLOCK, tally=tally)
    asyncio.run(answering.answer([work(number) for number in range(4)], found.append))
    return found


@pytest.mark.parametrize("kind", ["classifier", "pool"])
def test_where_there_is_no_worker_the_run_ends_and_no_row_is_to_blame(kind: str) -> None:
    with pytest.raises(NoWorkerError, match="no worker process can be started"):
        outcomes(kind, NOBODY)


@pytest.mark.parametrize("kind", ["classifier", "pool"])
def test_a_row_that_takes_its_worker_along_goes_to_quarantine(kind: str) -> None:
    refused = [outcome.row for outcome in outcomes(kind, DIED)]
    assert len(refused) == 4
    for row in refused:
        assert isinstance(row, RefusedRow)
        assert "the worker process died" in row.error
