"""One run of a documents pipeline: list → prepare → embed → commit, side by side.

::

    source ──► batches ──► prepare ──► groups ──► embed ──► commit
      a thread    │     worker process     │    model's worker   a thread
                  └── bytes of the budget and a place in flight are held from here
                      until the group is committed ──────────────────────────────┘

1. The source is pulled only while there is room: at most ``IN_FLIGHT`` batches,
   and only as many bytes as the engine's budget lends.
2. While somebody waits for room, the group that is being filled is sent off as it
   is, so that what it holds comes back, unless enough groups are on their way.
   Nothing waits for a group to become full.
3. A worker that dies takes down only the file that killed it: its batch is cut in
   halves until that file is alone, and that one goes to quarantine.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tenire.errors import WorkerDiedError
from tenire.pipeline.groups import Group, apart, batches
from tenire.pipeline.lister import ListedChunk, Lister, Work, count_ahead
from tenire.pipeline.model_worker import IF_KILLED, ModelWorker
from tenire.pipeline.progress import StageProgress
from tenire.pipeline.room import Room
from tenire.pipeline.vector_memos import VectorMemos
from tenire.pipeline.vectorise import UnusableTextError
from tenire.pipeline.waits import ended, first, seen
from tenire.protocols import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AsyncExitStack

    import numpy as np
    from numpy.typing import NDArray

    from tenire.clock import Clock
    from tenire.concurrency.handle import Handle
    from tenire.concurrency.manager import ConcurrencyManager
    from tenire.pipeline.document_recipe import DocumentRecipe
    from tenire.pipeline.files import FileSource, PathSource
    from tenire.pipeline.home_session import HomeSession
    from tenire.pipeline.journal import Committed
    from tenire.pipeline.progress import PipelineProgress
    from tenire.protocols import Document, SourceFile, Unchanged
    from tenire.storage.records import Run

__all__ = ["IN_FLIGHT", "DocumentRun"]

IN_FLIGHT = 24
"""Batches between the source and their commit, for one pipeline."""

GROUP_PASSAGES = 512
"""Passages that make a group full: some seconds of a small model's work."""

FINISHERS = 2
"""Groups on their way: one at the model, one behind it on its way into the store."""

_BYTES_HELD_PER_BYTE = 4
"""A byte of a file is held up to four times: as read, as text, as passages, as vectors."""

_MAINTENANCE_EVERY = 16

_TICK_S = 0.1
_LONGEST_TICK_S = 0.4

_LAST_WORD_S = 0.3
"""Seconds that a commit gets to end, and so to count, when its run is cancelled."""


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
        self._count_calls = count
        self._name = name
        self._manager = manager
        self._session = session
        self._source = source
        self._owns_all = owns_all
        self._recipe = recipe
        self._progress = progress
        self._clock = clock
        self._prepare, embed, self._store = stages = [StageProgress(n) for n in ("prepare", "embed", "store")]
        progress.stages = stages
        self._memos = VectorMemos(session, recipe.model)
        self._model = ModelWorker(
            name, manager=manager, embed=recipe.embed, progress=progress, stage=embed, keep=self._keep, clock=clock
        )
        self._room = Room(manager.data_manager, pipeline=name, places=IN_FLIGHT)
        self._group = Group()
        self._groups: asyncio.Queue[Group | None] = asyncio.Queue()
        self._under_way = 0
        self._commits = 0
        self._warm = False
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
            self._count_calls()
            # Room can run short while nothing of this run moves: another pipeline was
            # faster to take what seemed to be free.
            self._make_way()

        ticking = self._manager.control.every(_TICK_S, tick, longest=_LONGEST_TICK_S)
        state = "failed"
        try:
            self._run = await self._thread(self._session.start_run, self._name, self._recipe.identity)
            lister = Lister(self._source.walk(), self._session.ledger, self._run)
            await self._run_stages(lister)
            await self._remove_vanished(lister)
            state = "done"
        except asyncio.CancelledError:
            state = "cancelled"
            raise
        finally:
            ticking.cancel()
            self._count_calls()
            progress.seconds = self._clock.now() - started
            progress.state = state
            self._manager.orchestrator.suspend(self._name, None)  # or a paused one could not note its end
            if self._run is not None:
                await self._note_end(self._run, state)

    async def _note_end(self, run: Run, state: str) -> None:
        noting = self._thread(self._session.finish_run, run, state, self._progress.totals())
        cancelled = await ended(noting, last_word=_LAST_WORD_S)
        if cancelled is not None:
            raise cancelled
        if state == "done":
            await noting
        else:
            seen(noting)  # what ended the run is the better story

    # -- list, prepare -----------------------------------------------------

    async def _run_stages(self, lister: Lister) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(FINISHERS):
                    tasks.create_task(self._finish_groups())
                preparing: set[asyncio.Task[None]] = set()
                while (chunk := await self._thread(lister.next_chunk)) is not None:
                    self._count(chunk)
                    if chunk.rejections:
                        self._group.rejections += chunk.rejections
                        if len(self._group.rejections) >= GROUP_PASSAGES:
                            self._send_off()
                    if chunk.work:
                        self._warm_up()
                    for batch in batches(chunk.work):
                        held = await self._take_room(batch)
                        task = tasks.create_task(self._prepare_batch(batch, held))
                        preparing.add(task)
                        task.add_done_callback(preparing.discard)
                self._progress.listed = True
                if preparing:
                    await asyncio.wait(preparing)
                self._send_off()
                for _ in range(FINISHERS):
                    self._groups.put_nowait(None)
        except BaseExceptionGroup as group:
            # One cause is enough for people; the others are its echo in other batches.
            raise first(group) from None
        finally:
            await self._room.aclose()

    def _warm_up(self) -> None:
        """Load the model and open the store while the first files are read."""
        if not self._warm:
            self._warm = True
            self._model.warm_up().add_done_callback(seen)
            self._thread(self._session.open_store).add_done_callback(seen)
            self._thread(count_ahead, self._source, self._progress).add_done_callback(seen)

    def _count(self, chunk: ListedChunk) -> None:
        progress = self._progress
        progress.seen += chunk.seen
        progress.bytes_seen += chunk.seen_bytes
        progress.unchanged += chunk.unchanged
        progress.quarantined += chunk.quarantined
        progress.bytes_done += chunk.unchanged_bytes
        progress.skipped += chunk.skipped
        self._prepare.waiting += len(chunk.work)

    async def _take_room(self, batch: list[Work]) -> AsyncExitStack:
        """Wait for a place in flight and for the bytes of a batch (rule 1)."""
        size = sum(item.file.size for item in batch) * _BYTES_HELD_PER_BYTE
        if self._room.is_short(size) and self._under_way < FINISHERS:
            self._send_off()  # rule 2
        return await self._room.take(size)

    async def _prepare_batch(self, batch: list[Work], held: AsyncExitStack) -> None:
        try:
            self._prepare.waiting -= len(batch)
            self._prepare.running += len(batch)
            results = await self._prepare_files(batch)
        finally:
            self._prepare.running -= len(batch)
        self._prepare.done += len(batch)
        self._group.add(batch, results, held)
        if self._group.passages >= GROUP_PASSAGES:
            self._send_off()
        else:
            self._make_way()

    async def _prepare_files(self, batch: list[Work]) -> list[Document | Rejection | Unchanged]:
        files = [item.file for item in batch]
        known = {item.file.path: item.known_hash for item in batch if item.known_hash}
        started = self._clock.now()
        try:
            return await self._prepare_together(files, known)
        except WorkerDiedError as error:
            if len(batch) == 1:
                reason = f"the reader crashed on this file ({error}); it may be damaged, or too large for this machine"
                return [Rejection(files[0], "prepare", reason)]
            middle = len(batch) // 2  # rule 3
            return [*await self._prepare_files(batch[:middle]), *await self._prepare_files(batch[middle:])]
        finally:
            self._prepare.busy_s += self._clock.now() - started

    async def _prepare_together(
        self, files: list[SourceFile], known: Mapping[str, str]
    ) -> list[Document | Rejection | Unchanged]:
        results: list[Document | Rejection | Unchanged] = await self._submit(
            self._recipe.prepare, files, known, on="process", name=f"{self._name}: prepare", retry=IF_KILLED
        )
        return results

    # -- embed, commit ------------------------------------------------------

    def _send_off(self) -> None:
        group, self._group = self._group, Group()
        if group.holds or group.rejections:
            self._under_way += 1
            self._groups.put_nowait(group)

    def _make_way(self) -> None:
        """Send off what there is if somebody waits for the room that it holds (rule 2)."""
        if self._room.wanted and self._under_way < FINISHERS:
            self._send_off()

    async def _finish_groups(self) -> None:
        while (group := await self._groups.get()) is not None:
            await self._finish(group)
            for held in group.holds:
                await held.aclose()
            self._under_way -= 1
            self._make_way()

    async def _finish(self, group: Group) -> None:
        documents: list[Document] = group.documents
        rejections: list[Rejection] = group.rejections
        if group.unchanged_done or group.unchanged_rejected:
            await self._note_unchanged(group)
        while documents or rejections:
            # A document that another pipeline removed in between comes back as
            # unlinked and goes round once more.
            try:
                documents = await self._commit(documents, rejections, group.replaced)
            except UnusableTextError as error:
                documents, rejections = apart(documents, rejections, error)
            else:
                rejections = []

    async def _note_unchanged(self, group: Group) -> None:
        touched = [*group.unchanged_done, *group.unchanged_rejected]
        await self._thread(self._session.touched, self._run, [unchanged.file for unchanged in touched])
        self._progress.unchanged += len(group.unchanged_done)
        self._progress.quarantined += len(group.unchanged_rejected)
        self._progress.bytes_done += sum(unchanged.file.size for unchanged in touched)

    async def _commit(
        self, documents: list[Document], rejections: list[Rejection], replaced: set[str]
    ) -> list[Document]:
        absent = await self._thread(self._session.absent, documents)
        vectors = await self._vectorise(absent, replaced)
        new = {document.id for document in absent}
        embedded = [document for document in documents if document.id in new]
        first: dict[str, Document] = {document.id: document for document in absent}
        copies = [document for document in embedded if first[document.id] is not document]
        linked = [document for document in documents if document.id not in new]
        self._store.running += 1
        started = self._clock.now()
        applying = self._thread(self._apply, absent, vectors, [*copies, *linked], rejections)
        try:
            cancelled = await ended(applying, last_word=_LAST_WORD_S)
            committed: Committed = await applying
        finally:
            self._store.running -= 1
            self._store.busy_s += self._clock.now() - started
        self._progress.bytes_ahead -= sum(document.file.size for document in absent)
        self._count_commit(committed, documents, rejections)
        if cancelled is not None:
            raise cancelled
        return list(committed.unlinked)

    def _count_commit(self, committed: Committed, documents: list[Document], rejections: list[Rejection]) -> None:
        lost, progress = {id(document) for document in committed.unlinked}, self._progress
        progress.done += committed.done
        progress.quarantined += committed.rejected
        progress.chunks += committed.chunks
        progress.bytes_done += sum(document.file.size for document in documents if id(document) not in lost)
        progress.bytes_done += sum(rejection.file.size for rejection in rejections)
        self._store.done += committed.chunks

    def _apply(
        self,
        documents: list[Document],
        vectors: NDArray[np.float32] | None,
        linked: list[Document],
        rejections: list[Rejection],
    ) -> Committed:
        assert self._run is not None
        committed = self._session.commit(self._run, documents, vectors, linked=linked, rejections=rejections)
        self._memos.forget(passage.text for document in documents for passage in document.passages)
        self._commits += 1
        if self._commits % _MAINTENANCE_EVERY == 0:
            self._session.optimise()
        return committed

    async def _vectorise(self, documents: list[Document], replaced: set[str]) -> NDArray[np.float32] | None:
        if not documents:
            return None
        texts = [passage.text for document in documents for passage in document.passages]
        known: dict[str, NDArray[np.float32]] = dict(await self._thread(self._memos.recall, texts))
        if replaced:
            known |= await self._thread(self._session.vectors_of, sorted(replaced))
        return await self._model.vectors(documents, known)

    async def _keep(self, texts: list[str], vectors: NDArray[np.float32]) -> None:
        await self._thread(self._memos.keep, texts, vectors)

    # -- the end -------------------------------------------------------------

    async def _remove_vanished(self, lister: Lister) -> None:
        everything = lister.vanished(_anything if self._owns_all else self._source.covers)
        while (paths := await self._thread(next, everything, None)) is not None:
            committed = await self._thread(self._remove, paths)
            self._progress.removed += committed.removed
        if self._commits:
            await self._thread(self._session.optimise)

    def _remove(self, paths: list[str]) -> Committed:
        assert self._run is not None
        self._commits += 1
        return self._session.commit(self._run, removed=paths)

    # -- tasks ----------------------------------------------------------------

    def _submit(self, fn: Callable[..., Any], *args: Any, **options: Any) -> Handle[Any]:
        return self._manager.submit(fn, *args, pipeline=self._name, **options)

    def _thread(self, fn: Callable[..., Any], *args: Any) -> Handle[Any]:
        return self._submit(fn, *args, on="thread", name=f"{self._name}: {getattr(fn, '__name__', 'step')}")


def _anything(path: str) -> bool:
    return True
