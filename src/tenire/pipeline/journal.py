"""The commit protocol: what finished is journaled before it counts.

::

    PLAN      which documents really have to be added, which leave
    INTENT    ledger: batch id and the whole change, durable
    COMMIT    store: passages added and removed, all or nothing, under that id
    DONE      ledger: the change becomes true and the intent goes, in one transaction

Rules:

1. A document is in the store exactly as long as a source of any pipeline refers
   to it. Copies of a file share one document.
2. A document that the store has is only linked; its vectors are not kept.
3. One commit at a time per home, and none before every open intent is settled:
   the plan counts references, so it must see a ledger that agrees with the store.
4. The members of a container are sources of their own. They may be committed before
   it; its own word comes last, with the last of them or later. By that word it is
   done if all of them are, and those leave that it does not hold any more.
5. A change without passages (copies, empty files, a first rejection) skips INTENT
   and COMMIT: one transaction of the ledger is all of it.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tenire.errors import InternalError
from tenire.pipeline.members import close_containers
from tenire.pipeline.recovery import Recovered, recover, settle_pending
from tenire.protocols import Batch
from tenire.storage.records import Change, DocumentRow, DoneSource, Intent, RejectedSource, is_racy, joined_stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tenire.protocols import Document, Rejection, VectorStore
    from tenire.storage.ledger import Ledger
    from tenire.storage.records import Run

__all__ = ["Committed", "Journal"]


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit did.

    Attributes:
        done: Sources that have their document in the store now. Here and in the next
            two, members of containers do not count.
        rejected: Sources that went to quarantine.
        removed: Sources that were known and left.
        added: Documents that the store gained.
        dropped: Documents that the store lost.
        chunks: Passages that the store gained.
        unlinked: Documents given as ``linked`` that the store does not have any
            more. Nothing was done for them: embed them and commit them again.
        reasons: What ``rejected`` is counted under: how many by rule, or else by stage.
    """

    done: int
    rejected: int
    removed: int
    added: int
    dropped: int
    chunks: int
    unlinked: tuple[Document, ...] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)


class Journal:
    """Commits to a ledger and a store together; threads may share it.

    Args:
        ledger: The open ledger of a home whose lock is held.
        store: The store of the same home.
    """

    def __init__(self, ledger: Ledger, store: VectorStore) -> None:
        self._ledger = ledger
        self._store = store
        self._lock = threading.Lock()
        # Until proven otherwise, a crash or a failed commit has left intents behind.
        self._unsettled = True

    def recover(self) -> Recovered:
        """Make ledger and store agree; call it before the first run looks anything up.

        Raises:
            StoreError: If ledger or store cannot be read or written.
        """
        with self._lock:
            recovered = recover(self._ledger, self._store)
            self._unsettled = False
            return recovered

    def absent(self, documents: Iterable[Document]) -> list[Document]:
        """Return the documents that have to be embedded, each id once, in the order given.

        The others may be committed as ``linked``. A document without passages needs
        no vectors, and so is never among the absent.

        Raises:
            StoreError: If ledger or store cannot be read or written.
        """
        first = {document.id: document for document in documents if document.passages}
        with self._lock:
            self._settle()
            present = self._ledger.sources.documents(first)
        return [document for document in first.values() if document.id not in present]

    def commit(
        self,
        run: Run,
        documents: Sequence[Document] = (),
        vectors: NDArray[np.float32] | None = None,
        *,
        linked: Sequence[Document] = (),
        rejections: Sequence[Rejection] = (),
        removed: Sequence[str] = (),
    ) -> Committed:
        """Make one batch of results true, all or nothing.

        What a source had before is replaced: its old document leaves the store in
        the same commit if no other source needs it. For a path that is given more
        than once, the last word counts, in the order of the arguments.

        Args:
            run: The run that these belong to.
            documents: Documents with vectors.
            vectors: One row per passage of ``documents``, in their order; shape
                ``(n, dimension)``. ``None`` if there are no passages.
            linked: Documents without vectors, since the store has them
                (see ``absent``) or since they have no passages.
            rejections: Files that cannot be used.
            removed: Paths of sources that left; unknown ones are ignored.

        Raises:
            StoreError: If ledger or store failed. The next commit, or the next
                start, finds out what became of this one.
            InternalError: If the number of vectors is not the number of passages.
        """
        _check_rows(documents, vectors)
        with self._lock:
            self._settle()
            change, unlinked = self._plan(run, documents, linked, rejections, removed)
            if change.adds_passages or change.drop:
                self._commit_both(change, documents, vectors)
            else:
                self._ledger.batches.apply(change)
        return Committed(
            done=sum(not source.container for source in change.done),
            rejected=sum(not source.container for source in change.rejected),
            removed=len(set(removed).intersection(change.removed)),
            added=len(change.add),
            dropped=len(change.drop),
            chunks=sum(document.passages for document in change.add),
            unlinked=unlinked,
            reasons=Counter(source.reason for source in change.rejected if not source.container),
        )

    def _settle(self) -> None:
        if self._unsettled:
            settle_pending(self._ledger, self._store)
            self._unsettled = False

    def _commit_both(self, change: Change, documents: Sequence[Document], vectors: NDArray[np.float32] | None) -> None:
        ids = {row.id for row in change.add}
        batch_documents, batch_vectors = _select(ids, documents, vectors)
        intent = Intent(uuid.uuid4().hex, change)
        self._unsettled = True
        self._ledger.batches.open(intent)
        self._store.commit(Batch(intent.id, batch_documents, batch_vectors, change.drop))
        self._ledger.batches.settle(intent)
        self._unsettled = False

    def _plan(
        self,
        run: Run,
        documents: Sequence[Document],
        linked: Sequence[Document],
        rejections: Sequence[Rejection],
        removed: Sequence[str],
    ) -> tuple[Change, tuple[Document, ...]]:
        offered = {document.id: document for document in (*linked, *documents)}
        present = self._ledger.sources.documents(offered)
        embedded = {document.id for document in documents}
        unlinked = tuple(
            document
            for document in linked
            if document.passages and document.id not in present and document.id not in embedded
        )
        lost = {document.id for document in unlinked}

        done: dict[str, DoneSource] = {}
        rejected: dict[str, RejectedSource] = {}
        for document in (*documents, *linked):
            if document.id not in lost:
                source = _done(document, run)
                done[source.path] = source
        for rejection in rejections:
            refusal = _rejected(rejection, run)
            rejected[refusal.path] = refusal
            done.pop(refusal.path, None)
        gone = set(removed)
        for path in gone:
            done.pop(path, None)
            rejected.pop(path, None)
        words = {path for path in (*done, *rejected, *gone) if not _container(path, done, rejected)}
        waiting = {document.file.container for document in unlinked} & done.keys()
        unlinked += tuple(document for document in linked if document.file.path in waiting)
        known = self._ledger.sources.members_of(run.pipeline, words)
        close_containers(known, done, rejected, gone, run=run.id, waiting=waiting)

        before = self._ledger.sources.documents_of(run.pipeline, {*done, *rejected, *gone})
        after = {source.document for source in done.values()}
        leaving = Counter(
            old for path, old in before.items() if old is not None and (path not in done or done[path].document != old)
        )
        candidates = {document: count for document, count in leaving.items() if document not in after}
        add = (offered[document] for document in sorted(after - present.keys()))
        whole = {source.document for source in done.values() if source.similarity == 1}
        change = Change(
            pipeline=run.pipeline,
            recipe=run.recipe,
            done=tuple(done.values()),
            rejected=tuple(rejected.values()),
            removed=tuple(sorted(gone & before.keys())),
            add=tuple(_row(document) for document in add),
            drop=tuple(sorted(self._ledger.sources.unreferenced(candidates))),
            run=run.id,
            signatures={
                document.id: document.findings.signature
                for document in (*documents, *linked)
                if document.id in whole and document.findings.signature and document.findings.similarity == 1
            },
            redo=tuple(self._ledger.near.left_alone(run.pipeline, leaving.keys() - whole, {*done, *rejected, *gone})),
        )
        return change, unlinked


def _container(path: str, done: dict[str, DoneSource], rejected: dict[str, RejectedSource]) -> str:
    source = done.get(path) or rejected.get(path)
    return source.container if source is not None else ""


def _row(document: Document) -> DocumentRow:
    found, passages = document.findings, len(document.passages)
    return DocumentRow(
        document.id, passages, document.text_bytes, document.title, document.about, found.filtered, found.reason
    )


def _done(document: Document, run: Run) -> DoneSource:
    file = document.file
    racy = is_racy(file.mtime_ns, run.started_at)
    return DoneSource(
        file.path, file.size, file.mtime_ns, document.content_hash, document.id, racy, file.container,
        document.findings.similarity,
    )  # fmt: skip


def _rejected(rejection: Rejection, run: Run) -> RejectedSource:
    file = rejection.file
    racy = is_racy(file.mtime_ns, run.started_at)
    stage = joined_stage(rejection.stage, rejection.rule)
    return RejectedSource(
        file.path, file.size, file.mtime_ns, rejection.content_hash, racy, stage, rejection.error, file.container
    )


def _check_rows(documents: Sequence[Document], vectors: NDArray[np.float32] | None) -> None:
    passages = sum(len(document.passages) for document in documents)
    rows = 0 if vectors is None else len(vectors)
    if rows != passages:
        message = f"a commit needs one vector per passage, got {rows} vectors for {passages} passages"
        raise InternalError(message)


def _select(
    ids: set[str], documents: Sequence[Document], vectors: NDArray[np.float32] | None
) -> tuple[tuple[Document, ...], NDArray[np.float32] | None]:
    """Keep the documents with these ids and passages, each once, and their rows."""
    wanted = set(ids)
    kept: list[Document] = []
    rows: list[int] = []
    row = 0
    for document in documents:
        end = row + len(document.passages)
        if document.id in wanted and document.passages:
            wanted.remove(document.id)
            kept.append(document)
            rows.extend(range(row, end))
        row = end
    if vectors is None or not rows:
        return tuple(kept), None
    # Usually everything is new, and the array goes through as it is.
    return tuple(kept), vectors if len(rows) == row else vectors[rows]
