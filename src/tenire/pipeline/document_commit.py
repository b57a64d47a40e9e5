"""The way of a group of documents into the store: what is missing there is embedded, then all of it committed."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from tenire.pipeline.groups import apart
from tenire.pipeline.model_worker import ModelWorker
from tenire.pipeline.near_duplicates import represented
from tenire.pipeline.progress import StageProgress
from tenire.pipeline.vector_memos import VectorMemos
from tenire.pipeline.vectorise import UnusableTextError, text_key
from tenire.pipeline.waits import kept, seen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tenire.clock import Clock
    from tenire.pipeline.document_recipe import DocumentRecipe
    from tenire.pipeline.groups import Group
    from tenire.pipeline.home_session import HomeSession
    from tenire.pipeline.journal import Committed
    from tenire.pipeline.near_duplicates import StandIn
    from tenire.pipeline.run_life import RunLife
    from tenire.pipeline.tuning import Tuning
    from tenire.protocols import Document, Rejection

__all__ = ["DocumentCommit"]

_MAINTENANCE_EVERY = 16
_TIDYING = "all is stored; bringing the indexes up to date"


class DocumentCommit:
    """Embeds and commits what one run brings.

    Args:
        life: The run.
        session: The home, with its ledger and its store.
        recipe: Says how texts are embedded.
        clock: For the time spent.
        tuning: Is told what calls of the model and commits cost.

    Attributes:
        stages: Where passages are counted: at the model, and in the store.
    """

    def __init__(
        self, life: RunLife, *, session: HomeSession, recipe: DocumentRecipe, clock: Clock, tuning: Tuning
    ) -> None:
        self.stages = embed, self._store = StageProgress("embed"), StageProgress("store")
        self._life = life
        self._tasks = life.tasks
        self._progress = life.progress
        self._session = session
        self._clock = clock
        self._memos = VectorMemos(session, recipe.model)
        self._model = ModelWorker(
            life.tasks,
            embed=recipe.embed,
            progress=life.progress,
            stage=embed,
            keep=self._keep,
            clock=clock,
            tuning=tuning,
        )
        self._tuning = tuning
        self._commits = 0
        self._commit_s = 0.0
        self._near = recipe.near
        # Who stands for whom is decided for one group after the other.
        self._turn = nullcontext() if self._near is None else asyncio.Lock()

    def warm_up(self) -> None:
        """Load the model and open the store while the first files are read."""
        self._model.warm_up().add_done_callback(seen)
        self._tasks.head_start(self._session.open_store)

    async def finish(self, group: Group) -> None:
        """Bring a group into the store and the ledger, and count it.

        Raises:
            TenireError: If that is not possible.
        """
        documents: list[Document] = group.documents
        rejections: list[Rejection] = group.rejections
        if group.unchanged_done or group.unchanged_rejected:
            await self._note_unchanged(group)
        embedded: dict[str, NDArray[np.float32]] = {}
        async with self._turn:
            while documents or rejections:
                # A document that another pipeline removed in between comes back as
                # unlinked and goes round once more.
                try:
                    documents = await self._commit(documents, rejections, group.replaced, embedded)
                except UnusableTextError as error:
                    embedded |= {text_key(text): vector for text, vector in error.vectors.items()}
                    documents, rejections = apart(documents, rejections, error)
                else:
                    rejections = []

    async def remove(self, paths: list[str]) -> None:
        """Take sources that left out of store and ledger, and count them.

        Raises:
            TenireError: If that is not possible.
        """
        committed: Committed = await self._tasks.thread(self._remove, paths)
        self._progress.removed += committed.removed

    async def tidy(self) -> None:
        """Let the store tidy up if anything was committed, and keep what was learned."""
        if self._commits:
            self._store.doing = _TIDYING
            loop = asyncio.get_running_loop()
            make_room = partial(loop.call_soon_threadsafe, self._model.make_room)
            await self._tasks.thread(self._session.optimise_at_end, make_room)
            self._store.doing = ""
            await self._tasks.thread(self._tuning.save, self._session.ledger)

    async def _note_unchanged(self, group: Group) -> None:
        touched = [*group.unchanged_done, *group.unchanged_rejected]
        await self._tasks.thread(self._session.touched, self._life.run, [unchanged.file for unchanged in touched])
        self._progress.unchanged += len(group.unchanged_done)
        self._progress.quarantined += len(group.unchanged_rejected)
        if paths := [unchanged.file.path for unchanged in group.unchanged_rejected]:
            self._progress.count_rejected(await self._tasks.thread(self._session.reasons, self._life.run, paths))
        self._progress.bytes_done += sum(unchanged.file.size for unchanged in touched)

    async def _commit(
        self,
        documents: list[Document],
        rejections: list[Rejection],
        replaced: set[str],
        embedded: dict[str, NDArray[np.float32]],
    ) -> list[Document]:
        absent: list[Document] = await self._tasks.thread(self._session.absent, documents)
        found = await self._stand_ins(absent, documents, rejections)
        shown = [represented(document, found) for document in documents]
        absent = [document for document in absent if document.id not in found]
        # What a member was before is known only here; what files were, their listing told.
        if members := [document.file.path for document in absent if document.file.container]:
            replaced = replaced | await self._tasks.thread(self._session.documents_of, self._life.run, members)
        vectors = await self._vectorise(absent, replaced, embedded)
        first = {document.id: document for document in absent}
        linked = [document for document in shown if first.get(document.id) is not document]

        def count(committed: Committed) -> None:
            self._progress.bytes_ahead -= sum(document.file.size for document in absent)
            self._count(committed, shown, rejections, {id(document) for document in absent})
            self._tuning.note_stored(committed.chunks, self._commit_s)

        with self._store.at_work(self._clock.now):
            committed = await kept(self._tasks.thread(self._apply, absent, vectors, linked, rejections), count)
        again = {id(document) for document in committed.unlinked}
        return [document for document, each in zip(documents, shown, strict=True) if id(each) in again]

    async def _stand_ins(
        self, absent: list[Document], documents: list[Document], rejections: list[Rejection]
    ) -> dict[str, StandIn]:
        if self._near is None or not absent:
            return {}
        changing = {document.file.path for document in documents} | {refused.file.path for refused in rejections}
        found: dict[str, StandIn] = await self._tasks.thread(
            self._session.stand_ins, self._life.run, absent, self._near, changing
        )
        return found

    def _count(
        self, committed: Committed, documents: list[Document], rejections: list[Rejection], new: set[int]
    ) -> None:
        lost, progress = {id(document) for document in committed.unlinked}, self._progress
        progress.done += committed.done
        progress.quarantined += committed.rejected
        progress.count_rejected(committed.reasons)
        progress.chunks += committed.chunks
        # What counts of a container are its own bytes.
        for document in documents:
            if id(document) not in lost:
                progress.bytes_done += 0 if document.file.container else document.file.size
                progress.count_findings(document.findings)
                if document.passages and id(document) not in new:
                    progress.count_copy(document)
        progress.bytes_done += sum(item.file.size for item in rejections if not item.file.container)
        self._store.done += committed.chunks

    def _apply(
        self,
        documents: list[Document],
        vectors: NDArray[np.float32] | None,
        linked: list[Document],
        rejections: list[Rejection],
    ) -> Committed:
        started = self._clock.now()
        committed = self._session.commit(self._life.run, documents, vectors, linked=linked, rejections=rejections)
        self._commit_s = self._clock.now() - started
        self._memos.forget(passage.text for document in documents for passage in document.passages)
        self._commits += 1
        if self._commits % _MAINTENANCE_EVERY == 0:
            self._session.optimise()
        return committed

    def _remove(self, paths: list[str]) -> Committed:
        self._commits += 1
        return self._session.commit(self._life.run, removed=paths)

    async def _vectorise(
        self, documents: list[Document], replaced: set[str], embedded: dict[str, NDArray[np.float32]]
    ) -> NDArray[np.float32] | None:
        if not documents:
            return None
        texts = [passage.text for document in documents for passage in document.passages]
        known: dict[str, NDArray[np.float32]] = dict(await self._tasks.thread(self._memos.recall, texts))
        if replaced:
            known |= await self._tasks.thread(self._session.vectors_of, sorted(replaced))
        return await self._model.vectors(documents, known | embedded)

    async def _keep(self, texts: list[str], vectors: NDArray[np.float32]) -> None:
        await self._tasks.thread(self._memos.keep, texts, vectors)
