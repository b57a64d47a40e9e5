"""What a store on a server is looked at and tidied up for, besides searches."""

from __future__ import annotations

from contextlib import nullcontext
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from tenire.errors import StoreError
from tenire.protocols import StoreCheck
from tenire.storage.compression import utf8
from tenire.vectors.postgres.looking import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tenire.protocols import StopSign
    from tenire.vectors.postgres.connection import Connection

__all__ = ["INDEX_ROWS", "Counts", "audit", "build_index", "counts", "sizes", "tidy", "vectors_of"]

# To compare with so many vectors takes a server some 15 ms; each that comes later costs more than a
# millisecond to take into the index.
INDEX_ROWS = 20_000
_INDEX = "passages_vector"
_PIECE = 1000
_MOST_DETAILS = 20
_LEAST_MEMORY, _MOST_MEMORY = 64 << 10, 1 << 20  # KiB
_NODE = 450  # bytes of a passage in the graph besides its vector


class Counts(NamedTuple):
    """How much there is.

    Attributes:
        passages: All.
        documents: Different ones that have passages.
        indexed: Passages in the vector index; 0 without one.
    """

    passages: int
    documents: int
    indexed: int


def counts(connection: Any) -> Counts:
    """Count."""
    passages, documents = connection.execute(
        "SELECT count(*), count(DISTINCT document) FROM tenire.passages"
    ).fetchone()
    return Counts(passages, documents, passages if _has_index(connection) else 0)


def sizes(connection: Any) -> dict[str, int]:
    """Return bytes of the texts in UTF-8, of the texts as they are kept, and of all."""
    row = connection.execute(
        "SELECT coalesce(sum(coalesce(octet_length(original), octet_length(text))), 0)::bigint,"
        " coalesce(sum(pg_column_size(text) + coalesce(pg_column_size(original), 0)), 0)::bigint,"
        " pg_total_relation_size('tenire.passages') + pg_total_relation_size('tenire.batches') FROM tenire.passages"
    ).fetchone()
    return dict(zip(("text_bytes", "text_stored_bytes", "store_bytes"), row, strict=True))


def vectors_of(connection: Any, documents: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Return the vectors of documents, by the SHA-256 (hexadecimal) of a passage's text in UTF-8."""
    import numpy as np

    with connection.cursor(binary=True) as cursor:
        cursor.execute("SELECT text_hash, vector FROM tenire.passages WHERE document = ANY(%s)", (list(documents),))
        # A type that psycopg does not know comes as its bytes; see ``commit`` for what they are.
        return {
            bytes(text_hash).hex(): np.frombuffer(vector, ">f2", offset=4).astype(np.float32)
            for text_hash, vector in cursor
        }


def audit(connection: Any) -> StoreCheck:
    """Read everything and report what is there; changes nothing."""
    passages: dict[str, int] = {}
    damaged: set[str] = set()
    details: list[str] = []
    # That a passage is stored once is what its primary key says.
    with connection.cursor("tenire_audit") as cursor:
        cursor.itersize = _PIECE
        cursor.execute("SELECT document, ordinal, text, original, text_hash FROM tenire.passages")
        for document, ordinal, text, original, text_hash in cursor:
            passages[document] = passages.get(document, 0) + 1
            damage = _damage(text, original, text_hash)
            if damage:
                damaged.add(document)
                details.append(f"passage {ordinal} of document {document}: {damage}")
    if len(details) > _MOST_DETAILS:
        details[_MOST_DETAILS:] = [f"and {len(details) - _MOST_DETAILS} more"]
    return StoreCheck(passages, 0, 0, frozenset(damaged), tuple(details))


def _damage(text: str, original: bytes | None, text_hash: bytes) -> str:
    try:
        whole = utf8(text_of(text, original))
    except UnicodeDecodeError as error:
        return f"its text is not UTF-8 ({error})"
    return "" if sha256(whole).digest() == bytes(text_hash) else "its text is not the one that was stored"


def tidy(
    connection: Connection, dimension: int, *, stop: StopSign | None, before_long: Callable[[], object] | None
) -> bool:
    """Build the vector index if there is none and it pays; return whether it was built."""
    rows = connection.run("read", _rows_without_index)
    if rows < INDEX_ROWS or (stop is not None and stop.requested):
        return False
    if before_long is not None:
        before_long()

    def build(server: Any) -> None:
        with nullcontext() if stop is None else connection.cancelled_by(stop):
            if stop is not None and stop.requested:
                raise StoreError("stopped")
            build_index(server, rows, dimension)

    try:
        connection.run("index", build)
    except StoreError:
        if stop is None or not stop.requested:
            raise
        return False
    return True


def build_index(connection: Any, rows: int, dimension: int, *, table: str = "passages") -> None:
    """Build the vector index of a table with so many rows in the transaction that is open."""
    memory = min(max(rows * (2 * dimension + _NODE) >> 10, _LEAST_MEMORY), _MOST_MEMORY)
    connection.execute(f"SET LOCAL maintenance_work_mem = {memory}")
    connection.execute(f"CREATE INDEX {table}_vector ON tenire.{table} USING hnsw (vector halfvec_cosine_ops)")
    connection.execute(f"ANALYZE tenire.{table}")


def _rows_without_index(connection: Any) -> int:
    if _has_index(connection):
        return 0
    return int(connection.execute("SELECT count(*) FROM tenire.passages").fetchone()[0])


def _has_index(connection: Any) -> bool:
    valid = f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('tenire.{_INDEX}')"
    return connection.execute(valid).fetchone() is not None
