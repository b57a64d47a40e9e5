"""One run of a documents pipeline: list → prepare → embed → commit, side by side.

::

    source ──► batches ──► prepare ──► groups ──► embed ──► commit
      a thread    │     worker process     │    model's worker   a thread
                  └── bytes of the budget and a place in flight are held from here
                      until the group is committed ──────────────────────────────┘

1. The source is pulled only while there is room: at most ``IN_FLIGHT`` batches,
   and only as many bytes as the engine's budget lends.
2. A worker that dies takes down only the file that killed it: its batch is cut in
   halves until that file is alone, and that one goes to quarantine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.errors import WorkerDiedError
from tenire.pipeline.chunks import batches
from tenire.pipeline.document_commit import DocumentCommit
from tenire.pipeline.flow import flowing
from tenire.pipeline.group_queue import FINISHERS, GroupQueue
from tenire.pipeline.lister import Lister, sizes
from tenire.pipeline.model_worker import IF_KILLED
from tenire.pipeline.progress import StageProgress
from tenire.pipeline.room import Room
from tenire.pipeline.run_life import RunLife
from tenire.protocols import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AsyncExitStack

    from tenire.clock import Clock
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.pipeline.document_recipe import DocumentRecipe
    from tenire.pipeline.files import FileSource, PathSource
    from tenire.pipeline.home_session import HomeSession
    from tenire.pipeline.lister import ListedChunk, Work
    from tenire.pipeline.progress import PipelineProgress
    from tenire.protocols import Document, SourceFile, Unchanged

__all__ = ["IN_FLIGHT", "DocumentRun"]

IN_FLIGHT = 24
"""Batches between the source and their commit, for one pipeline."""


class DocumentRun:
    """One run of one documents pipeline.

    Args:
        name: The pipeline's name; its tasks are charged to it.
        manager: The engine.
        session: The home, with its ledger and its store.
        source: Where files come from.
        owns_all: Whether every source of the pipeline that is not listed has left;
            otherwise only those that ``source`` covers.
        recipe: What to do to the files.
        progress: Where to count.
        clock: For the duration.
        count: Called now and then, and at the end: counts what calls cost.
    """

    def __init__(
        self,
        name: str,
        *,
        manager: ConcurrencyManager,
        session: HomeSession,
        source: FileSource | PathSource,
        owns_all: bool,
        recipe: DocumentRecipe,
        progress: PipelineProgress,
        clock: Clock,
        count: Callable[[], object] = lambda: None,
    ) -> None:
        self._life = RunLife(name, manager=manager, session=session, progress=progress, clock=clock, count=self._tick)
        self._tasks = self._life.tasks
        self._session = session
        self._source = source
        self._owns_all = owns_all
        self._recipe = recipe
        self._clock = clock
        self._count_calls = count
        self._room = Room(manager.data_manager, pipeline=name, places=IN_FLIGHT)
        self._groups = GroupQueue(self._room)
        self._commit = DocumentCommit(self._life, session=session, recipe=recipe, clock=clock)
        self._prepare = StageProgress("prepare")
        progress.stages = [self._prepare, *self._commit.stages]
        self._warm = False

    async def run(self) -> None:
        """Run the pipeline to its end; counts in its progress.

        Raises:
            TenireError: If the pipeline as a whole cannot go on. What was committed
                until then is kept.
        """
        async with self._life as life:
            run = await life.begin(self._recipe.identity)
            lister = Lister(self._source.walk(), self._session.ledger, run)
            async with flowing(self._room) as flow:
                for _ in range(FINISHERS):
                    flow.beside(self._groups.finish_each(self._commit.finish))
                while (chunk := await life.next_chunk(lister)) is not None:
                    self._take(chunk)
                    for batch in batches(chunk.work):
                        held = await self._groups.take_room(batch)
                        flow.start(self._prepare_batch(batch, held))
                await flow.drained()
                self._groups.close()
            await self._remove_vanished(lister)
            await self._commit.tidy()

    def _tick(self) -> None:
        self._count_calls()
        # Room can run short while nothing of this run moves: another pipeline was
        # faster to take what seemed to be free.
        self._groups.make_way()

    # -- list, prepare -----------------------------------------------------

    def _take(self, chunk: ListedChunk) -> None:
        self._prepare.waiting += len(chunk.work)
        if chunk.rejections:
            self._groups.reject(chunk.rejections)
        if chunk.work and not self._warm:
            self._warm = True
            self._commit.warm_up()
            self._life.count_ahead(lambda: sizes(self._source))

    async def _prepare_batch(self, batch: list[Work], held: AsyncExitStack) -> None:
        self._prepare.waiting -= len(batch)
        with self._prepare.at_work(self._clock.now, len(batch)):
            results = await self._prepare_files(batch)
        self._prepare.done += len(batch)
        self._groups.add(batch, results, held)

    async def _prepare_files(self, batch: list[Work]) -> list[Document | Rejection | Unchanged]:
        files = [item.file for item in batch]
        known = {item.file.path: item.known_hash for item in batch if item.known_hash}
        try:
            return await self._prepare_together(files, known)
        except WorkerDiedError as error:
            if len(batch) == 1:
                reason = f"the reader crashed on this file ({error}); it may be damaged, or too large for this machine"
                return [Rejection(files[0], "prepare", reason)]
            middle = len(batch) // 2  # rule 2
            return [*await self._prepare_files(batch[:middle]), *await self._prepare_files(batch[middle:])]

    async def _prepare_together(
        self, files: list[SourceFile], known: Mapping[str, str]
    ) -> list[Document | Rejection | Unchanged]:
        results: list[Document | Rejection | Unchanged] = await self._tasks.submit(
            self._recipe.prepare, files, known, step="prepare", on="process", retry=IF_KILLED
        )
        return results

    # -- the end -------------------------------------------------------------

    async def _remove_vanished(self, lister: Lister) -> None:
        everything = lister.vanished(_anything if self._owns_all else self._source.covers)
        while (paths := await self._tasks.thread(next, everything, None)) is not None:
            await self._commit.remove(paths)


def _anything(path: str) -> bool:
    return True
