"""Rows that a classifier of the home labels, a batch at a time.

A batch that fails is cut in two until the row that makes it fail is alone: that one goes to
quarantine. So a batch that takes more memory than there is, or its worker along, becomes smaller ones.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.concurrency.submit import is_coroutine_function
from tenire.errors import (
    AuthenticationError,
    ConfigError,
    InternalError,
    ModelFileError,
    NoWorkerError,
    PipelineError,
    RejectedError,
    StoreError,
    UnknownModelError,
)  # fmt: skip
from tenire.ml.calls import predict_texts, predict_vectors
from tenire.ml.labelled import text_of
from tenire.pipeline.embedder_worker import EMBEDDER, IF_KILLED
from tenire.pipeline.progress import StageProgress
from tenire.pipeline.rows.lines import line
from tenire.pipeline.rows.lister import in_quarantine
from tenire.pipeline.rows.outbox import Outcome
from tenire.pipeline.rows.recipe import RowError
from tenire.pipeline.stages.records import hash_of
from tenire.storage.rows import AnsweredRow, RefusedRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.clock import Clock
    from tenire.ml.tally import Tally
    from tenire.pipeline.rows.lister import RowWork
    from tenire.pipeline.rows.recipe import RowTerms
    from tenire.pipeline.rows.records import Row
    from tenire.pipeline.run_tasks import RunTasks
    from tenire.storage.records import Run

__all__ = ["OF_ALL", "Asked", "Predicting", "PredictingTerms", "refused"]

_AT_ONCE = 128
OF_ALL = (
    AuthenticationError, ConfigError, InternalError, ModelFileError, NoWorkerError, PipelineError, RejectedError,
    StoreError, UnknownModelError,
)  # fmt: skip
"""Errors that are not one row's: they end the run."""


class Asked:
    """The model that is asked, which may only be known once it was trained.

    Args:
        home: Directory of the home.
        name: The model.

    Attributes:
        version: Its version.
        embed: ``embed(texts)``, importable, or a coroutine function; ``None`` if it looks at words.
    """

    def __init__(self, home: str, name: str) -> None:
        self.home = home
        self.name = name
        self.version = ""
        self.embed: Callable[[list[str]], Any] | None = None


class PredictingTerms:
    """See ``pipeline.rows.recipe.RowTerms``.

    Args:
        asked: The model.
        key: The setting that names the fields, for messages.
        field: The field that holds the text.
    """

    policy = ""

    def __init__(self, asked: Asked, key: str, field: str = "text") -> None:
        self.fields = (field,)
        self.field = field
        self.asked = asked
        self.key = key

    def request(self, row: Row) -> str:
        """Return a hash of model and text.

        Raises:
            RowError: If the row has no text.
        """
        text = text_of(row, self.field)
        if text is None:
            value = row.fields.get(self.field)
            shown = "nothing" if value is None else f"{value!r:.40}"
            message = f"{row.place}: expected a text in the field {self.field}, got {shown}"
            raise RowError(message, stage="read")
        return hash_of(self.asked.name, self.asked.version, text)


class Predicting:
    """See ``pipeline.rows.answering.Answering``.

    Args:
        tasks: The run's way to the engine.
        terms: What is asked.
        clock: For the time that it takes.
        tally: Is told of rows whose right label is known; ``None`` if nobody asks.
    """

    at_once = _AT_ONCE

    def __init__(self, tasks: RunTasks, *, terms: PredictingTerms, clock: Clock, tally: Tally | None = None) -> None:
        self._tally = tally
        self._tasks = tasks
        self._terms = terms
        self._clock = clock
        self._stage = StageProgress("predict", unit="row")
        self.stages = (self._stage,)

    async def answer(self, batch: Sequence[RowWork], put: Callable[[Outcome], None]) -> None:
        """See ``Answering``."""
        stage = self._stage
        stage.waiting -= len(batch)
        with stage.at_work(self._clock.now, len(batch)):
            await self._through(batch, put)
        stage.done += len(batch)

    def forget(self, run: Run) -> None:
        """See ``Answering``: nothing is kept here."""

    async def _through(self, batch: Sequence[RowWork], put: Callable[[Outcome], None]) -> None:
        try:
            answers = await self._asked([work.row.fields[self._terms.field] for work in batch])
        except OF_ALL:
            raise
        except Exception as error:  # noqa: BLE001 - what it is goes to quarantine with its row
            if len(batch) == 1:
                put(refused(batch[0], self._terms, error))
                return
            middle = len(batch) // 2
            await self._through(batch[:middle], put)
            await self._through(batch[middle:], put)
            return
        for work, (label, score) in zip(batch, answers, strict=True):
            row = work.row
            if self._tally is not None and "label" in row.fields:
                self._tally.add(row.fields["label"], label)
            said = line({"id": row.id, "label": label, "score": score})
            put(Outcome(AnsweredRow(row.key, row.source, work.request, said), work.was_done))

    async def _asked(self, texts: list[str]) -> list[tuple[Any, float]]:
        asked, tasks = self._terms.asked, self._tasks
        embed = asked.embed
        which = (asked.home, asked.name, asked.version)
        answers: list[tuple[Any, float]]
        if embed is not None and is_coroutine_function(embed):
            vectors = await tasks.submit(embed, texts, step="embed", on="loop")
            answers = await tasks.thread(predict_vectors, *which, vectors)
            return answers
        call = partial(predict_texts, *which, embed, texts)
        place: dict[str, Any] = {} if embed is None else {"worker": EMBEDDER}
        answers = await tasks.submit(call, step="predict", on="process", retry=IF_KILLED, **place)
        return answers


def refused(work: RowWork, terms: RowTerms, error: Exception) -> Outcome:
    """Return that a row goes to quarantine, since its model could not say anything about it."""
    text, hint = str(error), getattr(error, "hint", None)
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if hint:
        reason = f"{reason} ({hint})"
    request = in_quarantine(work.request, terms)
    return Outcome(RefusedRow(work.row.key, work.row.source, request, "predict", reason, 1), work.was_done)
