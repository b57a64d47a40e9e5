"""The training of a pipeline's model, from labelled rows to a version in the registry.

::

    rows ──► survey ──► found in the registry? ──yes──────────────────────────────► model
           ▲   │                 │ no
           │   │                 ▼
           │   └► quarantine    texts ──► parts (kept) ──► one matrix ──► slices ──► finish
           │                     │   a batch at a time, as bytes allow    │  ▲
           └─────────────────────┘ some have no vector                    └──┘ checkpoint each

1. The name of a version says what it is made from: the rows, the embedder, the settings. So
   what is there already is not trained again, and what was begun goes on.
2. What is made on the way lies in the home's cache, and goes once the model is there.
3. Texts that have no vector are all found before the rows are looked at again without them. So the version is that
   of a file without these rows, however they were found. What a server gave for the others is kept by text
   (``kept_vectors``), beside the folders of versions, and asked for once.
4. Each slice is a task by itself: other work comes between, and a pause holds the next one back.
"""

from __future__ import annotations

import shutil
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from tenire.concurrency.submit import is_coroutine_function
from tenire.errors import PipelineError
from tenire.ml.calls import (
    advance_training,
    count_part,
    embed_part,
    finish_training,
    is_joined,
    join_parts,
    join_vectors,
    keep_vocabulary,
    missing_parts,
    open_vectors,
    word_part,
)
from tenire.ml.labelled import KEY, Survey, read_labelled
from tenire.ml.plans import Finished, TrainingPlan
from tenire.ml.predicting import OF_ALL
from tenire.ml.registry import ModelRegistry
from tenire.ml.training_embedding import PLACE, without_vector
from tenire.ml.uses import TEST
from tenire.pipeline.embedder_worker import IF_KILLED
from tenire.pipeline.flow import flowing
from tenire.pipeline.progress import StageProgress
from tenire.pipeline.room import Room
from tenire.pipeline.stages.records import hash_of
from tenire.pipeline.vectorise import UnusableTextError
from tenire.storage.records import SourceState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AsyncExitStack
    from pathlib import Path

    from tenire.clock import Clock
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.ml.kept_vectors import KeptVectors
    from tenire.ml.labelled import Labelled
    from tenire.ml.training_terms import TrainingTerms
    from tenire.pipeline.home_session import HomeSession
    from tenire.pipeline.progress import PipelineProgress
    from tenire.pipeline.rows.records import Rows
    from tenire.pipeline.run_tasks import RunTasks
    from tenire.storage.records import Run
    from tenire.storage.rows import KnownRow, RefusedRow

__all__ = ["Training"]

_PART_ROWS = 256
_AT_ONCE = 3
"""Parts on their way: one that is read, one that the model has, one that is kept."""

_FIRST_PLACE = -(1 << 48)
"""Rows to learn from stand before those to be predicted in what a run lists."""


class Training:
    """The training of one pipeline in one run.

    Args:
        name: The pipeline's name, which is the model's.
        manager: The engine.
        session: The home.
        rows: What to learn from.
        tests: What to test with; ``None``: a fifth of the rows.
        terms: What else decides what the model becomes.
        embed: ``embed(texts)``, importable, or a coroutine function; ``None`` where words are counted.
        progress: Where to count.
        clock: For the time that it takes.
        checkpoint_s: Seconds between two checkpoints.

    Attributes:
        version: The version that there is now, or an empty string.
    """

    def __init__(
        self,
        name: str,
        *,
        manager: ConcurrencyManager,
        session: HomeSession,
        rows: Rows,
        tests: Rows | None,
        terms: TrainingTerms,
        embed: Callable[[list[str]], Any] | None,
        progress: PipelineProgress,
        clock: Clock,
        checkpoint_s: float,
    ) -> None:
        self.version = ""
        self._name = name
        self._manager = manager
        self._session = session
        self._rows = rows
        self._tests = tests
        self._terms = terms
        self._embed = embed
        self._progress = progress
        self._clock = clock
        self._checkpoint_s = checkpoint_s
        self._vectors = StageProgress("learn from", unit="row")
        self._passes = StageProgress("train", unit="epoch")
        self._unusable: dict[str, str] = {}  # why there is no vector, by text
        self._incomplete = False  # whether that keeps a part from being made
        self._kept_vectors: KeptVectors | None = None  # where a server makes them
        self._tried: set[str] = set()  # keys of rows that were in quarantine for that and are tried again

    @property
    def stages(self) -> tuple[StageProgress, ...]:
        """What is counted of it, in order."""
        return (self._vectors, self._passes)

    async def run(self, run: Run, tasks: RunTasks) -> None:
        """Have the model there; sets ``version``, and tells its figures in the progress.

        Raises:
            PipelineError: If nothing can be learnt from these rows.
            TenireError: If it cannot go on. What was reached is kept.
        """
        metrics: dict[str, Any] | None = None
        refused = 0
        while metrics is None:
            survey = await tasks.thread(self._session.within, self._surveyed, run)
            self._progress.quarantined += len(survey.refused) - refused
            refused = len(survey.refused)
            self._require(survey)
            version = self._terms.version(survey)
            metrics = await tasks.thread(self._session.within, self._kept, version)
            if metrics is None:
                metrics = await self._trained(survey, version, tasks)
        if self._tried:  # and were learnt from
            await tasks.thread(self._session.within, self._session.ledger.rows.forget, run.pipeline, self._tried)
        figures = ("accuracy", "macro_f1", "train_rows", "test_rows")
        self._progress.figures = {name: metrics.get(name) for name in figures}
        self.version = version

    # -- what there is to learn from -----------------------------------------------

    def _surveyed(self, run: Run) -> Survey:
        """Look at all rows, and settle which of them are in quarantine."""
        table = self._session.ledger.rows
        place = _FIRST_PLACE

        def times(key: str) -> int:
            nonlocal place
            place += 1
            return table.list(run, [key], place=place)[0]

        known = table.known(run.pipeline, table.refused(run.pipeline, prefix=KEY))
        tried: set[str] = set()

        def unusable(refusal: RefusedRow, text: str) -> RefusedRow | None:
            before, why = known.get(refusal.key), self._unusable.get(text)
            if before is None and why is None:
                return None
            # Of what asks for its vector, not of its label: another label makes it no better.
            request = hash_of("vector", self._terms.identity, text)
            if why is None and before is not None and before.request == request:
                if before.state is SourceState.QUARANTINED:
                    why = ""  # as it is told there already
                else:
                    tried.add(refusal.key)
            return None if why is None else refusal._replace(request=request, error=why, attempts=1)

        table.forget_listed(run)  # this may be the second look
        survey = Survey.of(*self._sources(), times, seed=self._terms.seed, unusable=unusable)
        self._tried = tried
        table.forget(run.pipeline, known.keys() - {row.key for row in survey.refused} - tried)
        table.apply(run, [], [row for row in survey.refused if _is_news(row, known.get(row.key))])
        for row in survey.refused:  # or they would count as gone once all rows were listed
            times(row.key)
        return survey

    def _sources(self) -> tuple[Any, Any]:
        return self._rows.rows(), None if self._tests is None else self._tests.rows()

    def _require(self, survey: Survey) -> None:
        classes = survey.classes
        if len(classes) > 1:
            return
        if not classes:
            message = "expected rows with a text and a label to learn from, got none that can be used"
            hint = 'each row needs "text" and "label", each class two rows; tenire failed lists what was refused'
        else:
            message = f"expected at least two classes to tell apart, got one only: {classes[0]!r}"
            hint = "add rows of another class"
        raise PipelineError(message, pipeline=self._name, stage="train", hint=hint)

    def _kept(self, version: str) -> dict[str, Any] | None:
        registry = ModelRegistry(self._session.home.path)
        found = registry.find(self._name, version)
        if found is None:
            return None
        registry.use(self._name, version)
        return found.manifest.metrics

    # -- from texts to a matrix ---------------------------------------------------------

    async def _trained(self, survey: Survey, version: str, tasks: RunTasks) -> dict[str, Any] | None:
        """Make the model; ``None`` if there is no vector for some texts, which are known from then on."""
        own = self._session.home.cache_path / "training" / self._name
        folder, vectors = own / version, own / f"vectors-{hash_of('vectors', self._terms.identity)}"
        await tasks.thread(_make_folder, folder, vectors)
        joined = await tasks.thread(is_joined, str(folder))
        if not (joined or await self._matrix(survey, str(folder), str(vectors), tasks)):
            return None
        await self._passed(survey, str(folder), tasks)
        metrics = await self._finished(survey, version, str(folder), tasks)
        await tasks.thread(shutil.rmtree, vectors, True)
        return metrics

    async def _matrix(self, survey: Survey, folder: str, vectors: str, tasks: RunTasks) -> bool:
        """Make the matrix; return whether it is there, and not some of the vectors impossible."""
        if self._terms.features == "tfidf":
            async for number, batch in self._batches(survey, tasks):
                texts = [row.text for row, use in batch if use != TEST]
                await tasks.submit(count_part, folder, number, texts, step="count words", on="process", retry=IF_KILLED)
            await tasks.submit(keep_vocabulary, folder, step="keep words", on="process", retry=IF_KILLED)
        total = sum(sum(counts.values()) for counts in survey.counts.values())
        missing = await tasks.thread(missing_parts, folder, -(-total // _PART_ROWS))
        remote = self._embed is not None and is_coroutine_function(self._embed)
        kept = self._kept_vectors = await tasks.thread(open_vectors, vectors) if remote else None
        self._vectors.waiting, self._vectors.done = total, 0
        self._incomplete = False
        places = {kind: place for place, kind in enumerate(survey.kinds)}
        labels: list[int] = []
        uses: list[int] = []
        keys = bytearray()
        room = Room(self._manager.data_manager, pipeline=self._name, places=_AT_ONCE)
        parts = 0
        async with flowing(room) as flow:
            async for number, batch in self._batches(survey, tasks):
                labels += [places[row.kind] for row, _ in batch]
                uses += [use for _, use in batch]
                parts = number + 1
                texts = [row.text for row, _ in batch]
                wanted = texts if number in missing else []
                if kept is not None:
                    found, wanted = await tasks.thread(kept.look_up, texts)
                    keys += found
                there = len(texts) - len(wanted)
                self._vectors.waiting -= there
                self._vectors.done += there
                if wanted:
                    held = await room.take(4 * sum(map(len, wanted)))
                    flow.start(self._part(folder, number, wanted, held, tasks))
        if len(labels) != total:
            message = f"the rows to learn from have changed while they were read: {total:,} before, {len(labels):,} now"
            raise PipelineError(message, pipeline=self._name, stage="train", hint="run again once they are at rest")
        if self._incomplete:
            return False
        join = partial(join_parts, folder, parts) if kept is None else partial(join_vectors, folder, vectors, keys)
        if not await tasks.submit(join, labels, uses, step="join", on="process", retry=IF_KILLED):
            message = f"vectors that were kept in {vectors} cannot be read any more"
            raise PipelineError(message, pipeline=self._name, stage="train", hint="run again: they are asked for anew")
        return True

    async def _batches(self, survey: Survey, tasks: RunTasks) -> AsyncIterator[tuple[int, list[tuple[Labelled, int]]]]:
        rows = read_labelled(*self._sources())
        number = 0
        while batch := await tasks.thread(_next_batch, rows, survey):
            yield number, batch
            number += 1

    async def _part(self, folder: str, number: int, texts: list[str], held: AsyncExitStack, tasks: RunTasks) -> None:
        self._vectors.waiting -= len(texts)
        with self._vectors.at_work(self._clock.now, len(texts)):
            embed = self._embed
            if embed is None:
                hashed = self._terms.features == "hashing"
                part = partial(word_part, folder, number, texts, hashed)
                await tasks.submit(part, step="count words", on="process", retry=IF_KILLED)
            elif self._kept_vectors is not None:
                await self._embedded(embed, self._kept_vectors, number, texts, tasks)
            else:
                await self._computed(embed, folder, number, texts, tasks)
        self._vectors.done += len(texts)
        await held.aclose()

    async def _computed(
        self, embed: Callable[[list[str]], Any], folder: str, number: int, texts: list[str], tasks: RunTasks
    ) -> None:
        try:
            await tasks.submit(
                partial(embed_part, embed, folder, number, texts), step="embed", retry=IF_KILLED, **PLACE
            )
        except OF_ALL:
            raise
        except Exception as error:
            reasons = await without_vector(embed, texts, error, tasks)
            if not reasons:  # each of them has one: it was no text's fault
                raise
            self._incomplete = True
            self._unusable |= reasons

    async def _embedded(
        self, embed: Callable[[list[str]], Any], kept: KeptVectors, number: int, texts: list[str], tasks: RunTasks
    ) -> None:
        try:
            vectors = await tasks.submit(embed, texts, step="embed", on="loop")
        except UnusableTextError as error:
            self._incomplete = True
            self._unusable |= error.reasons  # rule 3: other parts may have some, too
            texts, vectors = list(error.vectors), list(error.vectors.values())
        if texts and not await tasks.thread(kept.put, number, texts, vectors):
            message = f"{self._terms.embedder} gives vectors of another length than before: is it another model now?"
            raise PipelineError(message, pipeline=self._name, stage="train", hint="run again to have all asked anew")

    # -- training ---------------------------------------------------------------------------

    async def _passed(self, survey: Survey, folder: str, tasks: RunTasks) -> None:
        terms, stage = self._terms, self._passes
        plan = TrainingPlan(classes=len(survey.classes), epochs=terms.epochs, balanced=terms.balanced)
        over = False
        while not over:
            with stage.at_work(self._clock.now):
                reached = await tasks.submit(
                    advance_training, folder, plan, self._checkpoint_s, step="train", on="process", priority="low",
                    retry=IF_KILLED,
                )  # fmt: skip
            stage.done, over = reached.epoch, reached.over
            stage.waiting = 0 if over else max(0, terms.epochs - reached.epoch)
            self._progress.figures |= {"loss": round(reached.loss, 6), "accuracy": round(reached.accuracy, 6)}
            stage.doing = "" if over else f"loss {reached.loss:.4f}, accuracy {reached.accuracy:.1%}"

    async def _finished(self, survey: Survey, version: str, folder: str, tasks: RunTasks) -> dict[str, Any]:
        terms = self._terms
        kept = Finished(
            home=str(self._session.home.path),
            name=self._name,
            version=version,
            classes=survey.classes,
            lineage={"rows": survey.digest, "identity": terms.identity, "seed": terms.seed},
            settings={"features": terms.features, "embedder": terms.embedder, "identity": terms.identity},
        )
        metrics: dict[str, Any] = await tasks.submit(
            finish_training, folder, kept, step="finish", on="process", retry=IF_KILLED
        )
        return metrics


def _is_news(refused: RefusedRow, known: KnownRow | None) -> bool:
    """Return whether the quarantine does not say so of a row already."""
    return known is None or known.request != refused.request or known.state is not SourceState.QUARANTINED


def _make_folder(folder: Path, vectors: Path) -> None:
    """Make the folder of a training; what older ones of the same model have left goes, but for vectors of use."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for other in folder.parent.iterdir():
        if other not in (folder, vectors):
            shutil.rmtree(other, ignore_errors=True)


def _next_batch(rows: Iterator[Labelled], survey: Survey) -> list[tuple[Labelled, int]]:
    used = ((row, use) for row in rows if (use := survey.use_of(row)) is not None)
    return list(islice(used, _PART_ROWS))
