"""One run of a documents pipeline: list → prepare → embed → commit, side by side.

::

    source ──► batches ──► prepare ──► groups ──► embed ──► commit
      a thread    │     worker process     │    model's worker   a thread
                  └── bytes of the budget and a place in flight are held from here
                      until the group is committed ──────────────────────────────┘

1. The source is pulled only while there is room: at most as many batches as
   its sizes say (see ``tuning``), and only as many bytes as the engine's budget lends.
2. A worker that dies takes down only the file that killed it (see ``reading``).
3. What a container holds comes a slice at a time. Its own word comes when all of it
   is committed (see ``open_containers``).
4. Where documents that are nearly the same are looked for, all come in the order of the
   source, slices of a container too: what comes behind it waits, whoever is read first.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.pipeline.chunks import batches
from tenire.pipeline.document_commit import DocumentCommit
from tenire.pipeline.flow import flowing
from tenire.pipeline.group_queue import FINISHERS, GroupQueue
from tenire.pipeline.in_order import InOrder
from tenire.pipeline.item_source import ItemSource
from tenire.pipeline.lending import Lending
from tenire.pipeline.lister import Lister, sizes
from tenire.pipeline.open_containers import OpenContainers
from tenire.pipeline.progress import StageProgress
from tenire.pipeline.reading import FileReading
from tenire.pipeline.room import Room
from tenire.pipeline.run_life import RunLife
from tenire.pipeline.tuning import Tuning
from tenire.protocols import Document, Unpacked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AsyncExitStack

    from tenire.clock import Clock
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.pipeline.document_recipe import DocumentRecipe
    from tenire.pipeline.home_session import HomeSession
    from tenire.pipeline.in_order import Turn
    from tenire.pipeline.lister import ListedChunk, Work
    from tenire.pipeline.listing import Source
    from tenire.pipeline.open_containers import OpenContainer
    from tenire.pipeline.progress import PipelineProgress
    from tenire.protocols import Rejection

__all__ = ["DocumentRun"]


_SLICE_BYTES = 32 << 20
"""Room for a slice of a container: some mebibytes, as read, as text, as passages, as vectors."""


class DocumentRun:
    """One run of one documents pipeline.

    Args:
        name: The pipeline's name; its tasks are charged to it.
        manager: The engine.
        session: The home, with its ledger and its store.
        source: Where files, or rows, come from.
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
        source: Source,
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
        self._count_calls = count
        # What is nearly the same as what came before: for that, all comes in the order of the source.
        self._order = None if recipe.near is None else InOrder()
        self._tuning = Tuning(f"{recipe.identity}\0{recipe.model}", workers=max(1, int(manager.cpu)))
        self._tuning.on_change = self._resize
        self._prepare = StageProgress("prepare", unit="file")
        self._reading = FileReading(self._tasks, recipe, stage=self._prepare, tuning=self._tuning, clock=clock)
        self._room = Room(manager.data_manager, pipeline=name, places=self._tuning.sizes.room)
        self._groups = GroupQueue(self._room, full=lambda: self._tuning.sizes.group)
        self._containers = OpenContainers(lambda word: self._groups.put([word]))
        self._commit = DocumentCommit(self._life, session=session, recipe=recipe, clock=clock, tuning=self._tuning)
        progress.stages = [self._prepare, *self._commit.stages]
        self._prepare.workers = self._tuning.workers
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
                while (chunk := await self._next_chunk(lister)) is not None:
                    await self._take(chunk)
                    for batch in batches(chunk.work, most=lambda: self._tuning.sizes.batch):
                        held = await self._groups.take_room(batch)
                        turn = None if self._order is None else self._order.place()
                        flow.start(self._prepare_batch(batch, held, turn))
                await flow.drained()
                self._groups.send_off()
                await self._containers.wait_said()
                self._groups.close()
            await self._remove_vanished(lister)
            await self._commit.tidy()

    def _tick(self) -> None:
        self._count_calls()
        # Room can run short while nothing of this run moves: another pipeline was
        # faster to take what seemed to be free.
        self._groups.make_way()

    # -- list, prepare -----------------------------------------------------

    async def _next_chunk(self, lister: Lister) -> ListedChunk | None:
        if isinstance(self._source, ItemSource):
            await self._source.fetch()
        return await self._life.next_chunk(lister)

    async def _take(self, chunk: ListedChunk) -> None:
        self._prepare.waiting += len(chunk.work)
        if chunk.rejections:
            self._groups.reject(chunk.rejections)
        if chunk.work and not self._warm:
            self._warm = True
            self._commit.warm_up()
            await self._tasks.thread(self._tuning.load, self._session.ledger)
            self._life.count_ahead(lambda: sizes(self._source))

    async def _prepare_batch(self, batch: list[Work], held: AsyncExitStack, turn: Turn | None) -> None:
        self._prepare.waiting -= len(batch)
        with self._prepare.holding(len(batch)):
            results = await self._reading.read(batch)
        self._prepare.done += len(batch)
        if turn is not None:
            async with turn():
                await self._add_in_order(batch, results, held)
            return
        unfinished = [result for result in results if isinstance(result, Unpacked) and result.following is not None]
        # Before they are added: their group may be committed while the first of them is still read.
        rest = [(unpacked, self._containers.open(held)) for unpacked in unfinished]
        self._groups.add(batch, results, held)
        for unpacked, reading in rest:
            await self._read_on(unpacked, reading, partial(self._groups.take_bytes, _SLICE_BYTES))

    async def _add_in_order(self, batch: list[Work], results: list[Any], held: AsyncExitStack) -> None:
        """Add what came of a batch, with all of its containers, before anything behind it is added (rule 4)."""
        lending, start = Lending(self._groups, held), 0
        for end, result in enumerate(results, 1):
            if isinstance(result, Unpacked) and result.following is not None:
                lent = await lending.take()
                reading = self._containers.open(lent)
                self._groups.add(batch[start:end], results[start:end], lent)
                await self._read_on(result, reading, lending.take)
                start = end
        rest = await lending.take_last() if start else held
        self._groups.add(batch[start:], results[start:], rest)

    async def _read_on(
        self, unpacked: Unpacked, reading: OpenContainer, take_room: Callable[[], Awaitable[AsyncExitStack]]
    ) -> None:
        """Read the rest of a container, a slice at a time, each with room for it (rule 3)."""
        container, following = unpacked.container, unpacked.following
        assert isinstance(container, Document)
        word: Document | Rejection = container
        expanded = unpacked.expanded
        while following is not None:
            room = await take_room()
            with self._prepare.holding():
                part = await self._reading.read_on(container, following, expanded)
            reading.hold(room)
            self._groups.put(part.members, room)
            following, word, expanded = part.following, part.container, part.expanded
        reading.close(word)

    def _resize(self) -> None:
        self._reading.resize()
        self._prepare.workers = min(self._tuning.sizes.readers, self._tuning.workers)
        self._room.resize(self._tuning.sizes.room)

    # -- the end -------------------------------------------------------------

    async def _remove_vanished(self, lister: Lister) -> None:
        everything = lister.vanished(_anything if self._owns_all else self._source.covers)
        while (paths := await self._tasks.thread(next, everything, None)) is not None:
            await self._commit.remove(paths)


def _anything(path: str) -> bool:
    return True
