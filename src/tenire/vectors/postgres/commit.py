"""One batch, one transaction: its id, the documents that come and those that go.

Who writes locks the row of ``tenire.store`` first. So whoever asks whether a batch is there, and
takes that lock too, waits for the last transaction of an engine that was killed, and is never
told "no" of a batch that is still on its way.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from tenire.storage.compression import utf8
from tenire.vectors.new_rows import new_documents
from tenire.vectors.passage_rows import place_text
from tenire.vectors.postgres.words import postgres_text, spelled

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from tenire.protocols import Batch, Document

__all__ = ["WRITERS_LOCK", "apply", "binary_vectors", "has_batch"]

WRITERS_LOCK = "SELECT 1 FROM tenire.store FOR UPDATE"
_COPY = (
    "COPY tenire.passages (document, ordinal, start, stop, source, place, text, original, text_hash, spelled, vector)"
    " FROM STDIN (FORMAT BINARY)"
)
# In the binary format nothing says what a field is, so a vector may be written as its bytes.
_TYPES = ("text", "int4", "int8", "int8", "text", "text", "text", "bytea", "bytea", "text", "bytea")


def apply(connection: Any, batch: Batch, vectors: NDArray[np.float32]) -> int:
    """Write a batch in the transaction that is open, unless it is there.

    Args:
        connection: In a transaction.
        batch: Documents to add, and ids of those to remove.
        vectors: Shape ``(passages, dimension)``.

    Returns:
        How many passages came or left.
    """
    connection.execute(WRITERS_LOCK)
    noted = connection.execute(
        "INSERT INTO tenire.batches (id) VALUES (%s) ON CONFLICT DO NOTHING RETURNING id", (batch.id,)
    )
    if noted.fetchone() is None:
        return 0
    kept = {document.id for document in batch.documents}
    removed = [document for document in dict.fromkeys(batch.remove) if document not in kept]
    changed = 0
    if removed:
        changed += connection.execute("DELETE FROM tenire.passages WHERE document = ANY(%s)", (removed,)).rowcount
    there = connection.execute(
        "SELECT id FROM unnest(%s::text[]) AS id WHERE EXISTS (SELECT 1 FROM tenire.passages WHERE document = id)",
        (list(kept),),
    )
    added, rows = new_documents(batch.documents, {row[0] for row in there})
    if added:
        with connection.cursor().copy(_COPY) as copy:
            copy.set_types(_TYPES)
            for row in _rows(added, vectors[rows]):
                copy.write_row(row)
        changed += len(rows)
    return changed


def has_batch(connection: Any, batch: str) -> bool:
    """Return whether a batch was applied, once nobody else can be about to apply it."""
    connection.execute(WRITERS_LOCK)
    return connection.execute("SELECT 1 FROM tenire.batches WHERE id = %s", (batch,)).fetchone() is not None


def _rows(documents: list[Document], vectors: NDArray[np.float32]) -> Iterator[tuple[Any, ...]]:
    written = binary_vectors(vectors)
    for document in documents:
        source = utf8(document.file.path).decode("utf-8", "replace")
        for passage in document.passages:
            text, original = postgres_text(passage.text)
            yield (
                document.id, passage.ordinal, passage.start, passage.end, source, place_text(passage.place), text,
                original, sha256(utf8(passage.text)).digest(), spelled(passage.text), next(written),
            )  # fmt: skip


def binary_vectors(vectors: NDArray[np.float32]) -> Iterator[bytes]:
    """Return vectors as PostgreSQL takes a ``halfvec``: two numbers of 16 bits, its length and 0, then its own."""
    import numpy as np

    whole = np.empty((len(vectors), vectors.shape[1] + 2), ">u2")
    whole[:, 0], whole[:, 1] = vectors.shape[1], 0
    whole[:, 2:] = vectors.astype(">f2").view(">u2")
    return (row.tobytes() for row in whole)
