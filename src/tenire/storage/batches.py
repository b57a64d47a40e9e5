"""Commits that are under way, and the one transaction that makes a change true.

``open`` must survive a power cut: a store that kept a batch whose intent was
lost would hold passages that nobody knows. ``settle`` need not: if it is lost,
the intent is still there and is settled again by asking the store. So one flush
of the disk a batch buys exactness.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tenire.storage import abouts, filtered, near_duplicates
from tenire.storage.records import Change, DocumentRow, DoneSource, Intent, RejectedSource
from tenire.storage.schema import encode_path

if TYPE_CHECKING:
    import sqlite3

    from tenire.clock import Clock
    from tenire.storage.database import Database

__all__ = ["BatchTable"]


class BatchTable:
    """The table ``batches``, and the only writer of sources, documents and quarantine."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def open(self, intent: Intent) -> None:
        """Record that a commit is about to happen."""
        with self._database.writing(durable=True) as connection:
            connection.execute(
                "INSERT INTO batches (id, pipeline, created_at, change) VALUES (?, ?, ?, ?)",
                (intent.id, intent.change.pipeline, self._clock.wall(), _encode(intent.change)),
            )

    def pending(self) -> list[Intent]:
        """Return the commits that were begun and not settled, oldest first."""
        with self._database.reading() as connection:
            found = connection.execute("SELECT id, change FROM batches ORDER BY rowid").fetchall()
        return [Intent(number, _decode(change)) for number, change in found]

    def settle(self, intent: Intent) -> None:
        """Make an intent's change true; the store has it."""
        with self._database.writing() as connection:
            self._apply(connection, intent.change)
            connection.execute("DELETE FROM batches WHERE id = ?", (intent.id,))

    def abandon(self, intent: Intent) -> None:
        """Forget an intent; the store does not have it."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM batches WHERE id = ?", (intent.id,))

    def apply(self, change: Change) -> None:
        """Make a change true that the store has no part in."""
        with self._database.writing() as connection:
            self._apply(connection, change)

    def _apply(self, connection: sqlite3.Connection, change: Change) -> None:
        # Documents first, then what points to them, then what nothing points to:
        # the foreign key holds at every step.
        connection.executemany(
            "INSERT INTO documents (id, passages, text_bytes, title) VALUES (?, ?, ?, ?)",
            [(row.id, row.passages, row.text_bytes, _printable(row.title)) for row in change.add],
        )
        abouts.add(connection, change.add)
        filtered.add(connection, change.add)
        near_duplicates.add(connection, change.pipeline, change.signatures)
        for done in change.done:
            self._upsert(connection, change, done, done.document)
        for rejected in change.rejected:
            self._upsert(connection, change, rejected, None)
        free = [source.path for source in change.done] + list(change.removed)
        free += [source.path for source in change.rejected if not source.error]
        connection.executemany(
            "DELETE FROM quarantine WHERE pipeline = ? AND source = ?",
            [(change.pipeline, encode_path(path)) for path in free],
        )
        connection.executemany(
            "INSERT INTO quarantine (pipeline, source, stage, error, attempts, at) VALUES (?, ?, ?, ?, 1, ?)"
            " ON CONFLICT (pipeline, source) DO UPDATE SET"
            " stage = excluded.stage, error = excluded.error, attempts = attempts + 1, at = excluded.at",
            [
                (change.pipeline, encode_path(row.path), row.stage, _printable(row.error), self._clock.wall())
                for row in change.rejected
                if row.error
            ],
        )
        connection.executemany(
            "DELETE FROM sources WHERE pipeline = ? AND source = ?",
            [(change.pipeline, encode_path(path)) for path in change.removed],
        )
        connection.executemany(
            # No recipe is the one of a run: whatever comes, they are done again.
            "UPDATE sources SET recipe = '' WHERE pipeline = ?1 AND source IN"
            " (?2, (SELECT container FROM sources WHERE pipeline = ?1 AND source = ?2))",
            [(change.pipeline, encode_path(path)) for path in change.redo],
        )
        near_duplicates.drop(connection, change.drop)
        connection.executemany("DELETE FROM documents WHERE id = ?", [(document,) for document in change.drop])

    @staticmethod
    def _upsert(
        connection: sqlite3.Connection, change: Change, source: DoneSource | RejectedSource, document: str | None
    ) -> None:
        connection.execute(
            "INSERT INTO sources"
            " (pipeline, source, size, mtime_ns, content_hash, document, state, recipe, racy, container, read_in,"
            " similarity)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (pipeline, source) DO UPDATE SET"
            " size = excluded.size, mtime_ns = excluded.mtime_ns, content_hash = excluded.content_hash,"
            " document = excluded.document, state = excluded.state, recipe = excluded.recipe, racy = excluded.racy,"
            " container = excluded.container, read_in = excluded.read_in, similarity = excluded.similarity",
            (
                change.pipeline,
                encode_path(source.path),
                source.size,
                source.mtime_ns,
                source.content_hash,
                document,
                "quarantined" if document is None else "done",
                change.recipe,
                source.racy,
                encode_path(source.container) if source.container else None,
                change.run,
                source.similarity if isinstance(source, DoneSource) else 1.0,
            ),
        )


def _document(
    number: str, passages: int, text_bytes: int, title: str, about: str = "{}", rule: str = "", reason: str = ""
) -> DocumentRow:
    return DocumentRow(number, passages, text_bytes, title, abouts.from_text(about), rule, reason)


def _printable(text: str) -> str:
    # File names in titles and errors may hold surrogate escapes, which SQLite's text cannot.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _encode(change: Change) -> str:
    # JSON with ASCII escapes carries surrogate escapes in paths both ways.
    return json.dumps(
        {
            "pipeline": change.pipeline,
            "recipe": change.recipe,
            "done": change.done,
            "rejected": change.rejected,
            "removed": change.removed,
            "add": [(*row[:4], abouts.as_text(row.about), row.filtered, row.reason) for row in change.add],
            "drop": change.drop,
            "run": change.run,
            "signatures": {document: signature.hex() for document, signature in change.signatures.items()},
            "redo": change.redo,
        }
    )


def _decode(text: str) -> Change:
    fields = json.loads(text)
    return Change(
        pipeline=fields["pipeline"],
        recipe=fields["recipe"],
        done=tuple(DoneSource(*row) for row in fields["done"]),
        rejected=tuple(RejectedSource(*row) for row in fields["rejected"]),
        removed=tuple(fields["removed"]),
        # An intent of an older version says nothing about its documents.
        add=tuple(_document(*row) for row in fields["add"]),
        drop=tuple(fields["drop"]),
        # An engine of an older version left these out.
        run=fields.get("run", 0),
        signatures={document: bytes.fromhex(text) for document, text in fields.get("signatures", {}).items()},
        redo=tuple(fields.get("redo", ())),
    )
