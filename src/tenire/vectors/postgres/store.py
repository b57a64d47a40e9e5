"""The store of passages on a PostgreSQL server with pgvector.

A commit is one transaction, so vectors, words and the batch's id are there together or not at
all, and nothing has to be made to agree after a kill. A search sees one state of the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tenire.errors import EmbedderMismatchError
from tenire.protocols import Hit, Passage
from tenire.vectors.fusion import vector_weight
from tenire.vectors.new_rows import checked_vectors
from tenire.vectors.postgres.address import ServerAddress
from tenire.vectors.postgres.commit import apply, has_batch
from tenire.vectors.postgres.connection import Connection
from tenire.vectors.postgres.embedder_upgrade import ServerUpgrade
from tenire.vectors.postgres.looking import Passages, Words, read_passages
from tenire.vectors.postgres.schema import open_format, prepare, prepare_maker, read_server_format
from tenire.vectors.postgres.upkeep import audit, counts, sizes, tidy, vectors_of
from tenire.vectors.question import Question, check_vector
from tenire.vectors.ranking import best_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

    from tenire.protocols import Batch, StopSign, StoreCheck
    from tenire.vectors.postgres.schema import ServerFormat

__all__ = ["PostgresStore", "format_at"]

T = TypeVar("T")

# The lock comes before the view of the database: what waits for a switch to another embedder sees it done.
_BUILT_WITH = "LOCK TABLE tenire.passages IN ACCESS SHARE MODE; SELECT embedder, dimension, owner FROM tenire.store"


def format_at(address: ServerAddress) -> ServerFormat | None:
    """Return what the store in a database was built with, or ``None`` if there is none.

    Raises:
        MissingExtraError: If psycopg is not installed.
        StoreError: If the server cannot be reached, or the store is of a newer Tenire.
    """
    return _once(address, read_server_format)


def _once(address: ServerAddress, fn: Callable[[Any], T], prepare: Callable[[Any], None] = prepare) -> T:
    connection = Connection(address, prepare)
    try:
        return connection.run("open", fn)
    finally:
        connection.close()


class PostgresStore:
    """A store on a server; implements ``tenire.protocols.VectorStore``.

    All methods block. Any threads may search while one commits, also in other processes and on
    other machines; commits come from one home.

    Args:
        address: The server and the database, as ``postgresql://…``.
        dimension: Length of a vector; ``None`` takes what the store was built with.
        embedder: Identity of the embedder; ``None`` takes what the store was built with.
        owner: Id of the home that it belongs to; ``None`` for any.
        create: Make the store if there is none.

    Raises:
        MissingExtraError: If psycopg is not installed.
        ConfigError: If the address is none.
        StoreError: If the server cannot be reached, if there is no store and none shall be
            made, if it needs a newer Tenire, or if it cannot be read or made.
        EmbedderMismatchError: If it was built with another embedder.
    """

    def __init__(
        self,
        address: ServerAddress | str,
        *,
        dimension: int | None = None,
        embedder: str | None = None,
        owner: str | None = None,
        create: bool = True,
    ) -> None:
        self.address = address if isinstance(address, ServerAddress) else ServerAddress.of(address)
        self._writer = Connection(self.address, prepare)
        self._reader = Connection(self.address, prepare, snapshot=True)
        self._renewed: ServerFormat | None = None

        def opened(connection: Any) -> ServerFormat:
            return open_format(connection, self.address, dimension, embedder, owner, create=create)

        try:
            self._format = _once(self.address, opened, prepare_maker) if create else self._reader.run("open", opened)
        except BaseException:
            self._reader.close()
            raise

    @property
    def embedder(self) -> str:
        """Identity of the embedder that the store was built with."""
        return self._format.embedder

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._format.dimension

    def refresh(self) -> bool:
        """Return whether the store was given another embedder, and go on with that.

        Asks nobody: a search by vector that found it so has said so, with an ``EmbedderMismatchError``.
        """
        renewed, self._renewed = self._renewed, None
        if renewed is None or renewed == self._format:
            return False
        self._format = renewed
        return True

    def upgrade(self, *, dimension: int, embedder: str) -> ServerUpgrade:
        """Return the way to another embedder; until its ``switch`` this store stays as it is.

        Args:
            dimension: Length of its vectors.
            embedder: Its identity.

        Raises:
            StoreError: If its vectors are too long for a server.
        """

        def switched() -> None:
            self._format = self._format._replace(embedder=embedder, dimension=dimension)

        return ServerUpgrade(
            self._writer, self.address.shown, embedder=embedder, dimension=dimension, switched=switched
        )

    # ------------------------------------------------------------------ writing

    def commit(self, batch: Batch) -> None:
        """Apply a batch, all or nothing; a batch that was applied before is ignored.

        A document that is already there is passed over; one that is both added
        and removed stays.

        Args:
            batch: Documents to add with their vectors, and ids of documents to remove.

        Raises:
            ValueError: If the vectors do not fit the passages or the store.
            StoreError: If it cannot be written; nothing was changed.
        """
        vectors = checked_vectors(batch, self.dimension, half=True)
        self._writer.run("write", lambda connection: apply(connection, batch, vectors))

    def has_batch(self, batch_id: str) -> bool:
        """Return whether a batch was applied; waits for the last transaction of an engine that was killed.

        Raises:
            StoreError: If the store cannot be read.
        """
        return self._writer.run("read", lambda connection: has_batch(connection, batch_id))

    def optimise(
        self,
        *,
        idle: bool = False,
        ended: bool = False,
        stop: StopSign | None = None,
        before_long: Callable[[], object] | None = None,
    ) -> bool:
        """Build the vector index where it pays. All else the server does by itself.

        Commits wait for it, searches do not.

        Args:
            idle: Nobody waits for the machine.
            ended: No commit is about to follow, so it may take a while.
            stop: Tells when to break it off, if that may be.
            before_long: Called before the index is built.

        Returns:
            Whether it was built.

        Raises:
            StoreError: If it cannot be done; nothing was lost.
        """
        if not (idle or ended):
            return False
        return tidy(self._writer, self.dimension, stop=stop, before_long=before_long)

    def compact(self) -> tuple[int, int]:
        """Build the vector index if it pays, and have the server reclaim room.

        Returns:
            The number of passages, and how many of them are in the vector index.

        Raises:
            StoreError: If it cannot be done; nothing was lost.
        """
        self.optimise(idle=True)
        self._writer.alone("compact", lambda connection: connection.execute("VACUUM (ANALYZE) tenire.passages"))
        found = self._reader.run("read", counts)
        return found.passages, found.indexed

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
        """Return the hits of the best ``k`` different texts, best first; see ``LanceStore.search``.

        Raises:
            ValueError: If ``mode`` is unknown, ``k`` is below 1, or the mode's vector is missing.
            EmbedderMismatchError: If the vector's length is not the store's, or the store was given
                another embedder; see ``refresh``.
            StoreError: If the store cannot be read.
        """
        question = Question(query, vector, k, mode, exact, within)
        check_vector(question, self.dimension, self.embedder)
        return self._reader.run("read", lambda connection: self._hits(connection, question))

    def _hits(self, connection: Any, question: Question) -> list[Hit]:
        if question.mode != "text":
            self._require_same(connection)
        found = best_texts(
            Passages(connection),
            Words(connection),
            question,
            within=question.within,
            weight=vector_weight(self.embedder),
        )
        return [Hit(row.document, row.ordinal, row.start, row.stop, row.text, score, row.place) for row, score in found]

    def _require_same(self, connection: Any) -> None:
        cursor = connection.execute(_BUILT_WITH)
        cursor.nextset()
        found = type(self._format)(*cursor.fetchone())
        if found == self._format:
            return
        self._renewed = found
        message = f"the store at {self.address.shown} has gone over to the embedder {found.embedder}"
        hint = "search once more, with a vector of that one"
        raise EmbedderMismatchError(message, stored=found.embedder, asked=self.embedder, hint=hint)

    def steady(self) -> AbstractContextManager[None]:
        """Have all searches of this thread in the block see one state of the store; those of others wait meanwhile."""
        return self._reader.held("read")

    def around(self, hits: Sequence[Hit], distance: int) -> list[list[Passage]]:
        """Return for each hit the passages of its document up to ``distance`` away, itself included, in order.

        Raises:
            StoreError: If the store cannot be read.
        """
        near = "document = %s AND ordinal BETWEEN %s AND %s"

        def read(connection: Any) -> list[list[Passage]]:
            spans = [(hit.document, hit.ordinal - distance, hit.ordinal + distance) for hit in hits]
            return [
                [Passage(row.ordinal, row.start, row.stop, row.text, row.place) for row in rows]
                for rows in (read_passages(connection, near, span) for span in spans)
            ]

        return self._reader.run("read", read)

    def vectors_of(self, document_ids: Iterable[str]) -> Mapping[str, NDArray[np.float32]]:
        """Return the stored vectors of documents, by the SHA-256 (hexadecimal) of a passage's text in UTF-8.

        Raises:
            StoreError: If the store cannot be read.
        """
        ids = list(document_ids)
        return self._reader.run("read", lambda connection: vectors_of(connection, ids)) if ids else {}

    def reindex(self) -> None:
        """Do nothing: the words of a passage stand in its row, and the server keeps them in step."""

    def check(self) -> StoreCheck:
        """Read everything and report what is there.

        Raises:
            StoreError: If the store cannot be read at all.
        """
        return self._reader.run("read", audit)

    def count(self) -> int:
        """Return the number of passages."""
        return self._reader.run("read", counts).passages

    def documents(self) -> int:
        """Return the number of different documents that have passages."""
        return self._reader.run("read", counts).documents

    def sizes(self) -> dict[str, int]:
        """Return bytes: ``text_bytes`` (UTF-8), ``text_stored_bytes`` (as they are kept), ``store_bytes`` (all)."""
        return self._reader.run("read", sizes)

    def preload(self) -> None:
        """Connect before it is needed (on a thread of yours).

        Raises:
            StoreError: If the server cannot be reached.
        """
        self._writer.alone("open", lambda _: None)

    def close(self) -> None:
        """Let go of connections; a later call makes them again."""
        self._reader.close()
        self._writer.close()
