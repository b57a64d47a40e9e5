"""Documents that were filtered: done, and stored without passages, since they broke a rule of quality.

One row a document; its sources are found through it, and it leaves with its document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tenire.storage.schema import decode_path, has_table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from tenire.storage.database import Database
    from tenire.storage.records import DocumentRow

__all__ = ["FilteredSource", "FilteredTable", "add"]


class FilteredSource(NamedTuple):
    """One source that was filtered.

    Attributes:
        pipeline: The pipeline's name.
        source: The path.
        rule: The rule that it broke.
        reason: What that rule expected, and what came.
    """

    pipeline: str
    source: str
    rule: str
    reason: str


class FilteredTable:
    """The table ``filtered``, with the sources of the same documents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entries(self, pipeline: str | None = None) -> list[FilteredSource]:
        """Return what was filtered, by pipeline and source, of one pipeline or of all."""
        with self._database.reading() as connection:
            if not has_table(connection, "filtered"):
                return []  # no engine of this version has opened this ledger
            found = connection.execute(
                "SELECT s.pipeline, s.source, f.rule, f.reason FROM filtered AS f"
                " JOIN sources AS s ON s.document = f.document WHERE ?1 IS NULL OR s.pipeline = ?1 ORDER BY 1, 2",
                (pipeline,),
            ).fetchall()
        return [FilteredSource(name, decode_path(raw), rule, reason) for name, raw, rule, reason in found]


def add(connection: sqlite3.Connection, rows: Iterable[DocumentRow]) -> None:
    """Write which documents were filtered; inside of the caller's transaction, after the documents themselves."""
    connection.executemany(
        "INSERT OR REPLACE INTO filtered (document, rule, reason) VALUES (?, ?, ?)",
        [(row.id, row.filtered, row.reason) for row in rows if row.filtered],
    )
