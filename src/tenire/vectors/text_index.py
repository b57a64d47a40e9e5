"""The words of a store: which passages hold which, in SQLite's full-text search.

The texts themselves live compressed in the store, where no index can look into
them. This one keeps words only (a *contentless* FTS5 table, about a third of the
text) and is derived: whatever happens to the file, it can be made again.

Rules:

1. The passages of a document have consecutive keys, so that one row per document
   (``first_key``, ``passages``) says which passages are there.
2. A key is never used twice, even if its document left: words of passages that
   left may linger in the index, and must not be taken for those of a new one.
3. A batch's words, its documents and its id are written in one transaction,
   after the store's own commit; ``version`` names the last store version that is
   reflected here.
"""

from __future__ import annotations

import threading
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tenire.storage.database import Database, StoppedError
from tenire.vectors.text_query import owner, ranked, verbatim
from tenire.vectors.text_rows import add, clear, deletes_words, prepare, remove, set_meta
from tenire.vectors.word_counts import WordCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tenire.protocols import StopSign
    from tenire.vectors.text_query import TextMatch
    from tenire.vectors.text_rows import IndexedDocument

__all__ = ["Span", "TextIndex", "TextTotals"]

_CHUNK = 500
_REBUILD_SHARE = 0.3
_REMEDY = "it can be made again from the passages: run tenire verify --repair"


class Span(NamedTuple):
    """The keys of one document's passages: ``first`` to ``first + passages - 1``."""

    first: int
    passages: int


@dataclass(frozen=True, slots=True)
class TextTotals:
    """Sums over all documents.

    Attributes:
        documents: Documents that have passages.
        passages: Their passages.
        text_bytes: Bytes of the passages in UTF-8.
        stored_bytes: Bytes of the passages as the store keeps them.
    """

    documents: int = 0
    passages: int = 0
    text_bytes: int = 0
    stored_bytes: int = 0


class TextIndex:
    """The text index of one store. Threads may share it; one at a time writes.

    Args:
        path: The SQLite file; made by the first write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._writer: Database | None = None
        self._reader: Database | None = None
        self._counts = WordCounts()
        self._made = False

    @property
    def exists(self) -> bool:
        """Whether there is an index yet."""
        if not self._made and self._path.exists():
            # The process that makes it may have made the file, and not yet what is in it.
            with self._reading().reading() as connection:
                self._made = (
                    connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is not None
                )
        return self._made

    # ------------------------------------------------------------------ reading

    def snapshot(self) -> AbstractContextManager[object]:
        """Hold one view of the index over several questions of this thread; others wait meanwhile."""
        return self._reading().reading() if self.exists else nullcontext()

    def search(self, query: str, *, limit: int, within: Container[int] | None = None) -> list[TextMatch]:
        """Return up to ``limit`` passages that hold words of ``query``, best first.

        Any string is a valid query. Passages that hold the whole query in a row
        come first, then those with all of its words, then those with its rarer
        words. ``within`` holds the keys of the only passages to look at.

        Raises:
            StoreError: If the index cannot be read.
        """
        if not self.exists:
            return []
        with self._reading().reading() as connection:
            return ranked(connection, query, limit, self._counts, within)

    def verbatim(self, query: str, *, limit: int, within: Container[int] | None = None) -> list[int]:
        """Return the keys of up to ``limit`` passages that hold a whole sentence word for word.

        Raises:
            StoreError: If the index cannot be read.
        """
        if not self.exists:
            return []
        with self._reading().reading() as connection:
            return verbatim(connection, query, limit, within)

    def owners(self, keys: Iterable[int]) -> dict[int, tuple[str, int]]:
        """Return the document of each key that is there, and the passage's place in it."""
        if not self.exists:
            return {}
        with self._reading().reading() as connection:
            return {key: place for key in keys if (place := owner(connection, key)) is not None}

    def spans(self, ids: Collection[str] | None = None) -> dict[str, Span]:
        """Return the keys of documents: of all, or of those among ``ids`` that are there."""
        if not self.exists:
            return {}
        columns = "SELECT id, first_key, passages FROM documents"
        with self._reading().reading() as connection:
            if ids is None:
                return {row[0]: Span(row[1], row[2]) for row in connection.execute(columns)}
            spans: dict[str, Span] = {}
            for part in _chunks(list(ids)):
                marks = ",".join("?" * len(part))
                for row in connection.execute(f"{columns} WHERE id IN ({marks})", part):
                    spans[row[0]] = Span(row[1], row[2])
            return spans

    def has_batch(self, batch: str) -> bool:
        """Return whether this batch is reflected here."""
        if not self.exists:
            return False
        with self._reading().reading() as connection:
            return connection.execute("SELECT 1 FROM batches WHERE id = ?", (batch,)).fetchone() is not None

    @property
    def version(self) -> int:
        """The last version of the store that is reflected here; 0 for none."""
        return self._meta("version")

    @property
    def next_key(self) -> int:
        """The first key that was never used."""
        return self._meta("next_key")

    @property
    def stale(self) -> int:
        """Passages that left since the last ``optimise``."""
        return self._meta("stale")

    def totals(self) -> TextTotals:
        """Return sums over all documents."""
        if not self.exists:
            return TextTotals()
        sums = "SELECT count(*), sum(passages), sum(text_bytes), sum(stored_bytes) FROM documents"
        with self._reading().reading() as connection:
            return TextTotals(*(value or 0 for value in connection.execute(sums).fetchone()))

    def differences(self, expected: Collection[int]) -> tuple[set[int], set[int]]:
        """Read the whole index, and compare it with the keys that the store holds.

        Returns:
            Keys that are not indexed, and keys that are indexed in excess.

        Raises:
            DamagedFileError: If it is damaged.
        """
        if not self.exists:
            return set(expected), set()
        # A connection remembers sums of such an index, and takes it for damaged once another one has written.
        with closing(Database(self._path, writable=False, remedy=_REMEDY)) as database:
            database.check()
        with self._reading().reading() as connection:
            indexed = {row[0] for row in connection.execute("SELECT id FROM words_docsize")}
            spanned = {
                key
                for first, passages in connection.execute("SELECT first_key, passages FROM documents")
                for key in range(first, first + passages)
            }
            lingering = not deletes_words(connection)
        wanted = set(expected)
        missing = wanted - (indexed & spanned)
        # Where words cannot be deleted, those outside any document are expected, and never found.
        excess = spanned - wanted if lingering else (indexed | spanned) - wanted
        return missing, excess

    def _meta(self, name: str) -> int:
        if not self.exists:
            return 0
        with self._reading().reading() as connection:
            return int(connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])

    # ------------------------------------------------------------------ writing

    def apply(
        self,
        added: Sequence[IndexedDocument],
        removed: Collection[str],
        *,
        batches: Iterable[str],
        version: int | None,
        forget: bool = False,
    ) -> None:
        """Write what a commit of the store changed, in one transaction.

        Documents that are there already, or not there, are passed over, so that
        doing it again changes nothing.

        Args:
            added: Documents that came.
            removed: Ids of documents that left.
            batches: Ids of the batches that are complete with this.
            version: The store's version after the commit; ``None`` if more of the same version follows.
            forget: Also forget the batches that brought the removed documents,
                for documents that the store turned out to have lost.

        Raises:
            StoreError: If it cannot be written; nothing was changed.
        """
        with self._writing().writing() as connection:
            remove(connection, removed, forget=forget)
            for document in added:
                add(connection, document)
            connection.executemany("INSERT OR IGNORE INTO batches (id) VALUES (?)", ((batch,) for batch in batches))
            if version is not None:
                set_meta(connection, "version", version)

    def optimise(self, *, idle: bool, stop: StopSign | None = None) -> bool:
        """Drop what lingers of passages that left.

        Args:
            idle: Also merge the index into one piece.
            stop: Tells when to break that off, if that may be; then nothing was done.

        Returns:
            Whether so much lingers, in a file of an old SQLite that cannot delete
            words, that the index was emptied: the caller fills it again.
        """
        try:
            with self._writing().writing(stop=stop) as connection:
                stale = int(connection.execute("SELECT value FROM meta WHERE name = 'stale'").fetchone()[0])
                passages = connection.execute("SELECT coalesce(sum(passages), 0) FROM documents").fetchone()[0]
                rebuild = not deletes_words(connection) and stale > _REBUILD_SHARE * (stale + passages)
                if rebuild:
                    clear(connection)
                elif idle:
                    connection.execute("INSERT INTO words (words) VALUES ('optimize')")
                if rebuild or deletes_words(connection):
                    set_meta(connection, "stale", 0)
        except StoppedError:
            return False
        return rebuild

    def clear(self) -> None:
        """Forget all words and documents: the caller fills the index again.

        Raises:
            StoreError: If the file cannot be written.
        """
        with self._writing().writing() as connection:
            clear(connection)

    def tidy(self) -> None:
        """Give free space back to the system.

        Raises:
            StoreError: If the file cannot be written.
        """
        if self.exists:
            self._writing().tidy(_Never())

    def close(self) -> None:
        """Let go of the file; a later call opens it again."""
        with self._lock:
            for database in (self._reader, self._writer):
                if database is not None:
                    database.close()
            self._reader = self._writer = None
            self._counts.forget()
            self._made = False

    def _reading(self) -> Database:
        # A connection of its own: a search must not wait for a commit's transaction.
        with self._lock:
            if self._reader is None:
                self._reader = Database(self._path, writable=False, remedy=_REMEDY)
            return self._reader

    def _writing(self) -> Database:
        with self._lock:
            if self._writer is None:
                database = Database(self._path, writable=True, remedy=_REMEDY)
                try:
                    with database.writing() as connection:
                        prepare(connection, self._path)
                except BaseException:
                    database.close()
                    raise
                self._writer = database
            return self._writer


class _Never:
    """A sign that never says stop."""

    requested = False

    def calling(self, interrupt: Callable[[], object]) -> AbstractContextManager[None]:
        return nullcontext()


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]
