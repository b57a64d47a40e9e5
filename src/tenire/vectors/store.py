"""The store of passages: vectors and compressed texts in LanceDB, words in SQLite.

A directory holds ``format.json``, ``dictionaries/``, the LanceDB table and
``text.db``. LanceDB is the truth; ``text.db`` follows it:

1. A commit writes one LanceDB version (documents that come and documents that go),
   then one SQLite transaction with its words, its batch id and that version.
2. Where the two versions differ, something happened in between (a kill, a power
   cut): before the next write the two are compared document by document, and the
   text index is made to agree. Batches are known again from the rows they left.
3. A document is stored once, whatever batch brings it again. So a batch that was
   cut off between the two, or that only removes, may be committed again.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from tenire.vectors.audit import audit
from tenire.vectors.embedder_upgrade import EmbedderUpgrade, forget_finished
from tenire.vectors.fusion import vector_weight
from tenire.vectors.lance_table import LanceTable
from tenire.vectors.maintenance import plan
from tenire.vectors.new_rows import checked_vectors, new_documents, new_rows
from tenire.vectors.passage_rows import as_vectors
from tenire.vectors.question import MODES, Question, check_vector
from tenire.vectors.repair import synchronise
from tenire.vectors.searcher import Searcher
from tenire.vectors.store_files import TEXT_INDEX, StoreFormat, format_stamp, open_format
from tenire.vectors.stored_texts import StoredTexts
from tenire.vectors.text_index import TextIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from tenire.protocols import Batch, Hit, Passage, StopSign, StoreCheck
    from tenire.vectors.text_rows import IndexedDocument

__all__ = ["MODES", "LanceStore"]

# Old versions hold the vectors a second time. A read whose version is tidied away starts again
# with the latest, so they need not be kept for long; LanceDB warns of 0.
_KEEP = timedelta(seconds=1)
_BRIEFLY = timedelta(milliseconds=1)


class LanceStore:
    """A store on this machine; implements ``tenire.protocols.VectorStore``.

    All methods block. Any threads may search while one commits, also in other
    processes; commits and maintenance come from one process at a time (the
    home's lock sees to that).

    Args:
        path: Directory of the store.
        dimension: Length of a vector; ``None`` takes what the store was built with.
        embedder: Identity of the embedder; ``None`` takes what the store was built with.
        create: Make the store if there is none.

    Raises:
        StoreError: If there is no store and none shall be made, if it needs a
            newer Tenire, or if it cannot be read or made.
        EmbedderMismatchError: If it was built with another embedder.
    """

    def __init__(
        self, path: Path, *, dimension: int | None = None, embedder: str | None = None, create: bool = True
    ) -> None:
        self.path = path
        self._stamp = format_stamp(path)
        self._words = TextIndex(path / TEXT_INDEX)
        self._texts = StoredTexts(path)
        self._write_lock = threading.RLock()
        self._words_checked = False
        self._use(open_format(path, dimension, embedder, create=create))

    def _use(self, format_: StoreFormat) -> None:
        self._format = format_
        self._table = LanceTable(self.path, format_.dimension, half=format_.half, name=format_.table)
        self._searcher = Searcher(self._table, self._words, self._texts, weight=vector_weight(format_.embedder))

    def refresh(self) -> bool:
        """Return whether the store was given another embedder since it was opened, and go on with that.

        Costs a look at one file.

        Raises:
            StoreError: If that file cannot be read.
        """
        stamp = format_stamp(self.path)
        if stamp == self._stamp:
            return False
        with self._write_lock:
            format_ = open_format(self.path, None, None, create=False)
            changed, self._stamp = format_ != self._format, stamp
            if changed:
                self._table.close()
                self._use(format_)
            return changed

    def upgrade(self, *, dimension: int, embedder: str) -> EmbedderUpgrade:
        """Return the way to another embedder; until its ``switch`` this store stays as it is.

        Args:
            dimension: Length of its vectors.
            embedder: Its identity.
        """
        return EmbedderUpgrade(
            self.path,
            StoreFormat(embedder, dimension),
            old=self._table,
            words=self._words,
            texts=self._texts,
            writing=self._write_lock,
            switched=self.refresh,
        )

    @property
    def embedder(self) -> str:
        """Identity of the embedder that the store was built with."""
        return self._format.embedder

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._format.dimension

    # ------------------------------------------------------------------ writing

    def commit(self, batch: Batch) -> None:
        """Apply a batch, all or nothing; a batch that was applied before is ignored.

        A document that is already there is passed over; one that is both added
        and removed stays.

        Args:
            batch: Documents to add with their vectors, and ids of documents to remove.

        Raises:
            ValueError: If the vectors do not fit the passages or the store.
            StoreError: If it cannot be written; nothing was changed, or what was is completed by the next call.
        """
        vectors = checked_vectors(batch, self.dimension, half=self._format.half)
        with self._write_lock:
            self._synchronise()
            if self._words.has_batch(batch.id):
                return
            there = self._words.spans({document.id for document in batch.documents} | set(batch.remove))
            added, rows = new_documents(batch.documents, there)
            kept = {document.id for document in batch.documents}
            removed = [
                document for document in dict.fromkeys(batch.remove) if document in there and document not in kept
            ]
            indexed: list[IndexedDocument] = []
            version = self._words.version
            if added or removed:
                columns, indexed = new_rows(batch.id, added, self._words.next_key, self._texts)
                columns["vector"] = vectors[rows]
                version = self._table.write(columns, removed)
            self._words.apply(indexed, removed, batches=[batch.id], version=version)

    def has_batch(self, batch_id: str) -> bool:
        """Return whether a batch was applied, and finish what a crash left half done.

        A batch that added nothing may be forgotten by a crash; committing it
        again changes nothing.

        Raises:
            StoreError: If the store cannot be read or repaired.
        """
        with self._write_lock:
            self._synchronise()
            return self._words.has_batch(batch_id)

    def optimise(
        self,
        *,
        idle: bool = False,
        ended: bool = False,
        stop: StopSign | None = None,
        before_long: Callable[[], object] | None = None,
    ) -> bool:
        """Tidy up where it pays; cheap where it does not.

        Joins fragments, drops deleted rows and old versions, builds or refreshes
        the vector index. Commits wait for it, searches do not.

        Args:
            idle: Nobody waits for the machine: do all that brings anything.
            ended: No commit is about to follow, so it may take a while.
            stop: Tells when to break it off, if that may be; what was not done is done the next time.
            before_long: Called before the vector index is built, or much is taken into it or joined, which
                takes long, or more memory than all else.

        Returns:
            Whether anything was done to the vectors.

        Raises:
            StoreError: If it cannot be done; nothing was lost.
        """
        with self._write_lock:
            self._synchronise()
            forget_finished(self.path, self._format.table)
            state = self._table.state()
            decision = plan(
                rows=state.rows,
                fragments=state.fragments,
                versions=state.versions,
                indexed=state.indexed,
                parts=state.parts,
                stale=self._words.stale,
                idle=idle,
                ended=ended,
            )
            if before_long is not None and decision.long:
                before_long()
            done = decision.build and self._table.build_index(stop=stop)
            if decision.compact and not (stop is not None and stop.requested):
                done = self._table.compact(keep=_KEEP, stop=stop) or done
            if not (done or idle):
                return False
            if not (stop is not None and stop.requested) and self._words.optimise(idle=idle, stop=stop):
                self._synchronise()
            self._words.apply([], [], batches=[], version=self._table.version())
            return done

    def compact(self) -> tuple[int, int]:
        """Do all that saves room or makes searches faster, however little it brings, and forget all old versions.

        Returns:
            The number of passages, and how many of them are in the vector index.

        Raises:
            StoreError: If it cannot be done; nothing was lost.
        """
        with self._write_lock:
            self.optimise(idle=True)
            if self._table.state().rows:
                self._table.compact(keep=_BRIEFLY)
                self._words.apply([], [], batches=[], version=self._table.version())
            self._words.tidy()
            state = self._table.state()
            return state.rows, state.indexed

    def reindex(self) -> None:
        """Make the text index anew from the passages; drop a vector index that cannot be searched.

        Raises:
            StoreError: If they cannot be read, or it cannot be written.
        """
        with self._write_lock:
            if self._table.index_damage():
                self._table.drop_index()
            self._words.clear()
            self._synchronise()

    # ------------------------------------------------------------------ reading

    def search(
        self,
        query: str,
        vector: NDArray[np.float32] | None,
        *,
        k: int,
        mode: str,
        exact: bool = False,
        within: frozenset[str] | None = None,
    ) -> list[Hit]:
        """Return the hits of the best ``k`` different texts, best first.

        A passage that stands in several documents is a hit in each of them, so
        the list may be longer than ``k``: the caller groups them.

        Args:
            query: Any text. The mode vector uses it only to find a whole sentence
                word for word.
            vector: The query's vector of shape ``(dimension,)``; used by the modes hybrid and vector.
            k: How many different texts.
            mode: ``hybrid``, ``vector`` or ``text``.
            exact: Compare with every vector, even where there is an index.
            within: Ids of the only documents to look at, or ``None`` for all.

        Raises:
            ValueError: If ``mode`` is unknown, ``k`` is below 1, or the mode's vector is missing.
            EmbedderMismatchError: If the vector's length is not the store's.
            StoreError: If the store cannot be read.
        """
        question = Question(query, vector, k, mode, exact, within)
        check_vector(question, self.dimension, self.embedder)
        self._fill_missing_words()
        return self._searcher.search(question)

    def steady(self) -> AbstractContextManager[None]:
        """Have all searches of this thread in the block see one state of the store; those of others wait meanwhile."""
        return self._searcher.steady()

    def around(self, hits: Sequence[Hit], distance: int) -> list[list[Passage]]:
        """Return for each hit the passages of its document up to ``distance`` away, itself included, in order.

        A hit whose document has left meanwhile has none.

        Raises:
            StoreError: If the store cannot be read.
        """
        return self._searcher.around(hits, distance)

    def vectors_of(self, document_ids: Iterable[str]) -> Mapping[str, NDArray[np.float32]]:
        """Return the stored vectors of documents, by the SHA-256 (hexadecimal) of a passage's text in UTF-8.

        Raises:
            StoreError: If the store cannot be read.
        """
        spans = self._words.spans(set(document_ids)).values()
        found: dict[str, NDArray[np.float32]] = {}
        for part in self._table.scan_spans(["text_hash", "vector"], spans):
            matrix = as_vectors(part.column("vector"), self.dimension)
            for text_hash, row in zip(part.column("text_hash").to_pylist(), matrix, strict=True):
                found[text_hash.hex()] = row
        return found

    def check(self) -> StoreCheck:
        """Read everything and report what is there.

        Raises:
            UnreadableStoreError: If the passages cannot be read at all.
            DamagedFileError: If the text index is damaged.
        """
        return audit(self._table, self._words, self._texts, self.dimension)

    def count(self) -> int:
        """Return the number of passages."""
        return self._words.totals().passages

    def documents(self) -> int:
        """Return the number of different documents that have passages."""
        return self._words.totals().documents

    def sizes(self) -> dict[str, int]:
        """Return bytes: ``text_bytes`` (UTF-8), ``text_stored_bytes`` (compressed), ``store_bytes`` (all on disk)."""
        totals = self._words.totals()
        on_disk = 0
        for file in self.path.rglob("*"):
            try:
                on_disk += file.stat().st_size if file.is_file() else 0
            except FileNotFoundError:
                # Tidied away between listing and looking.
                continue
        return {"text_bytes": totals.text_bytes, "text_stored_bytes": totals.stored_bytes, "store_bytes": on_disk}

    def preload(self) -> None:
        """Import LanceDB and open the table, a second's work, before it is needed (on a thread of yours).

        Raises:
            StoreError: If the table cannot be opened.
        """
        self._table.open()

    def close(self) -> None:
        """Let go of files; a later call opens them again."""
        with self._write_lock:
            self._words.close()
            self._table.close()

    # ------------------------------------------------------------------ inside

    def _fill_missing_words(self) -> None:
        # The text index is derived, and its file may be gone. An index that only lags behind is left to
        # the next writer: the process that writes may be in the middle of a commit.
        if self._words_checked:
            return
        if not self._words.exists or self._words.version == 0:
            with self._write_lock:
                self._synchronise()
        self._words_checked = True

    def _synchronise(self) -> None:
        synchronise(self._table, self._words, self._texts)
