"""By which signatures documents are known, so that what is nearly the same finds its like.

The bands of all signatures are rows of one index: a look-up costs 32 of its keys
however many documents there are, and nothing of it is held in memory. A band without
its document is what a removal by an older version leaves; it means nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.core.near_duplicates import bands
from tenire.storage.schema import decode_path

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping

    from tenire.storage.database import Database
    from tenire.storage.records import Run

__all__ = ["NearTable", "add", "drop"]

_CANDIDATES = 20
"""How many are compared at most, those with most bands in common."""


class NearTable:
    """The tables ``near_documents`` and ``near_bands``, and the sources that are only nearly the same."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def candidates(self, run: Run, signature: bytes, changing: Collection[str]) -> list[tuple[str, bytes]]:
        """Return documents that share a band with a signature, with their own: most bands in common first.

        Only those count that are the whole document of a source of the same pipeline, read
        by the same recipe.

        Args:
            run: The run that asks.
            signature: The signature.
            changing: Sources that do not count, since they are just being replaced.
        """
        keys = bands(signature)
        marks = ",".join("?" * len(keys))
        query = (
            "SELECT n.document, n.signature FROM"
            f" (SELECT number, count(*) AS shared FROM near_bands WHERE band IN ({marks}) GROUP BY number) AS b"
            " JOIN near_documents AS n ON n.number = b.number WHERE n.pipeline = ?"
            " ORDER BY b.shared DESC, n.number LIMIT ?"
        )
        with self._database.reading() as connection:
            found = connection.execute(query, (*keys, run.pipeline, _CANDIDATES)).fetchall()
            return [
                (str(document), bytes(kept))
                for document, kept in found
                if _is_whole(connection, run.pipeline, str(document), changing, recipe=run.recipe)
            ]

    def left_alone(self, pipeline: str, documents: Iterable[str], paths: Collection[str]) -> list[str]:
        """Return the sources that are only nearly the same as documents that leave them.

        Args:
            pipeline: The pipeline.
            documents: Documents that lose a source.
            paths: Sources that change; what they were does not count any more.
        """
        alone: list[str] = []
        with self._database.reading() as connection:
            for document in documents:
                nearly = connection.execute(
                    "SELECT pipeline, source FROM sources WHERE document = ? AND similarity < 1", (document,)
                ).fetchall()
                copies = [path for name, raw in nearly if name == pipeline and (path := decode_path(raw)) not in paths]
                if copies and not _is_whole(connection, pipeline, document, paths):
                    alone += copies
        return alone


def _is_whole(
    connection: sqlite3.Connection,
    pipeline: str,
    document: str,
    changing: Collection[str],
    *,
    recipe: str | None = None,
) -> bool:
    """Return whether a document is the whole one of a source that stays as it is."""
    found = connection.execute(
        "SELECT source FROM sources WHERE document = ?1 AND pipeline = ?2 AND similarity = 1"
        " AND (?3 IS NULL OR recipe = ?3)",
        (document, pipeline, recipe),
    )
    return any(decode_path(raw) not in changing for (raw,) in found)


def add(connection: sqlite3.Connection, pipeline: str, signatures: Mapping[str, bytes]) -> None:
    """Write signatures of documents that are there; inside of the caller's transaction."""
    for document, signature in signatures.items():
        written = connection.execute(
            "INSERT OR IGNORE INTO near_documents (pipeline, document, signature) VALUES (?, ?, ?)",
            (pipeline, document, signature),
        )
        if written.rowcount:
            number = written.lastrowid
            connection.executemany(
                "INSERT OR IGNORE INTO near_bands (band, number) VALUES (?, ?)",
                [(band, number) for band in bands(signature)],
            )


def drop(connection: sqlite3.Connection, documents: Iterable[str]) -> None:
    """Forget the bands of documents that leave; inside of the caller's transaction, before the documents themselves."""
    for document in documents:
        found = connection.execute("SELECT number, signature FROM near_documents WHERE document = ?", (document,))
        for number, signature in found.fetchall():
            connection.executemany(
                "DELETE FROM near_bands WHERE band = ? AND number = ?", [(band, number) for band in bands(signature)]
            )
