"""The sources that cannot be used, why, and which of them are to be tried again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tenire.storage.records import QuarantineEntry, SourceState
from tenire.storage.schema import decode_path, encode_path, has_column, has_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tenire.storage.database import Database

__all__ = ["QuarantineTable"]

_ENTRY = "SELECT q.id, q.pipeline, q.source, q.stage, q.error, q.attempts, q.at, s.state"
_ENTRIES_OF_SOURCES = (
    f"{_ENTRY}, {{container}} FROM quarantine AS q JOIN sources AS s ON s.pipeline = q.pipeline AND s.source = q.source"
    " WHERE ?1 IS NULL OR q.pipeline = ?1 ORDER BY 1"
)
_ENTRIES = (
    f"{_ENTRIES_OF_SOURCES.removesuffix(' ORDER BY 1')} UNION ALL"
    f" {_ENTRY}, NULL FROM quarantine AS q"
    " JOIN rows AS s ON s.pipeline = q.pipeline AND s.source = q.source AND s.state <> 'done'"
    " WHERE ?1 IS NULL OR q.pipeline = ?1 ORDER BY 1"
)
_PREFIX = "q"  # tells the ids of quarantine entries from those of tasks


class QuarantineTable:
    """The table ``quarantine``. Entries come and go with commits only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entries(self, pipeline: str | None = None, *, newest: int | None = None) -> list[QuarantineEntry]:
        """Return the entries of one pipeline or of all, oldest first; or only so many of the newest, these first."""
        with self._database.reading() as connection:
            # A ledger that no engine of this version has opened may lack what came later.
            query = _ENTRIES if has_table(connection, "rows") else _ENTRIES_OF_SOURCES
            container = "s.container" if has_column(connection, "sources", "container") else "NULL"
            query = query.format(container=container)
            if newest is not None:
                query = f"{query} DESC LIMIT {newest:d}"
            found = connection.execute(query, (pipeline,)).fetchall()
        return [
            QuarantineEntry(
                f"{_PREFIX}{number}",
                name,
                decode_path(raw),
                stage.partition("/")[0],
                error,
                attempts,
                at,
                state == SourceState.RETRY,
                decode_path(container) if container is not None else "",
                rule=stage.partition("/")[2],
            )
            for number, name, raw, stage, error, attempts, at, state, container in found
        ]

    def reasons(self, pipeline: str, paths: Iterable[str]) -> dict[str, int]:
        """Count paths that are in quarantine, by what they are counted under: the rule, or else the stage.

        One without an entry of its own is there because of what it holds.
        """
        counts: Counter[str] = Counter()
        with self._database.reading() as connection:
            for path in paths:
                row = connection.execute(
                    "SELECT stage FROM quarantine WHERE pipeline = ? AND source = ?", (pipeline, encode_path(path))
                ).fetchone()
                counts[row[0].rpartition("/")[2] if row is not None else "container"] += 1
        return dict(counts)

    def retry(self, ids: Iterable[str] | None = None) -> tuple[QuarantineEntry, ...]:
        """Let the next run of their pipelines try entries again.

        The entries stay, with their counts of attempts, until that run has an answer.
        A member of a container is tried again with its whole container.

        Args:
            ids: Ids of entries; ``None`` takes all.

        Returns:
            The entries that will be tried; an id that is not in quarantine is not among them.
        """
        wanted = None if ids is None else frozenset(ids)
        with self._database.writing() as connection:
            chosen = tuple(entry for entry in self.entries() if wanted is None or entry.id in wanted)
            for table in ("sources", "rows"):
                connection.executemany(
                    f"UPDATE {table} SET state = 'retry' WHERE state <> 'done' AND (pipeline, source) ="
                    " (SELECT pipeline, source FROM quarantine WHERE id = ?)",
                    [(int(entry.id.removeprefix(_PREFIX)),) for entry in chosen],
                )
            connection.executemany(
                "UPDATE sources SET state = 'retry' WHERE state <> 'done' AND pipeline = ? AND source = ?",
                [(entry.pipeline, encode_path(entry.container)) for entry in chosen if entry.container],
            )
        return chosen

    def count(self, pipeline: str | None = None) -> int:
        """Return how many sources are in quarantine, of one pipeline or of all."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT count(*) FROM quarantine WHERE ?1 IS NULL OR pipeline = ?1", (pipeline,)
            ).fetchone()
        return int(row[0])
