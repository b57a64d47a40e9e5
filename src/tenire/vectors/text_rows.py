"""What the text index writes: its tables, and the words of one document.

The rules are those of ``text_index``, which is the face.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.errors import StoreError
from tenire.storage.compression import utf8
from tenire.vectors.unspaced import spaced

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

__all__ = ["IndexedDocument", "add", "clear", "deletes_words", "prepare", "remove", "set_meta"]


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """A document whose words shall be found.

    Attributes:
        id: The document's id.
        first_key: Key of its first passage.
        texts: Its passages, in order of their keys; not empty.
        stored_bytes: Bytes of the texts as the store keeps them.
        batch: Id of the batch that brought it.
    """

    id: str
    first_key: int
    texts: tuple[str, ...]
    stored_bytes: int
    batch: str


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or see that this SQLite can use those that are there.

    Raises:
        StoreError: If it cannot: no full-text search, or made by a newer SQLite.
    """
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        try:
            connection.execute("SELECT rowid FROM words LIMIT 0")
        except sqlite3.OperationalError as error:
            message = f"this Python's SQLite {sqlite3.sqlite_version} cannot use {path} ({error})"
            raise StoreError(message, hint=f"delete {path.name}: the next run makes it again") from error
        return
    # Since SQLite 3.43 a contentless index can delete words (https://sqlite.org/fts5.html).
    deletes = sqlite3.sqlite_version_info >= (3, 43, 0)
    option = ", contentless_delete=1" if deletes else ""
    try:
        connection.execute(
            f"CREATE VIRTUAL TABLE words USING fts5(text, content=''{option},"
            " tokenize='porter unicode61 remove_diacritics 2')"
        )
    except sqlite3.OperationalError as error:
        message = f"this Python's SQLite {sqlite3.sqlite_version} has no full-text search ({error})"
        raise StoreError(message, hint="use a Python whose sqlite3 module has FTS5, such as python.org's") from error
    connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID")
    connection.execute("CREATE TABLE batches (id TEXT PRIMARY KEY) WITHOUT ROWID")
    connection.execute(
        "CREATE TABLE documents (id TEXT NOT NULL UNIQUE, first_key INTEGER PRIMARY KEY, passages INTEGER NOT NULL,"
        " text_bytes INTEGER NOT NULL, stored_bytes INTEGER NOT NULL, batch TEXT NOT NULL)"
    )
    connection.executemany(
        "INSERT INTO meta (name, value) VALUES (?, ?)",
        [("version", 0), ("next_key", 0), ("stale", 0), ("deletes_words", int(deletes))],
    )


def deletes_words(connection: sqlite3.Connection) -> bool:
    """Return whether words leave this index with their passage, or linger."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'deletes_words'").fetchone()
    return bool(row[0])


def set_meta(connection: sqlite3.Connection, name: str, value: int) -> None:
    """Change one of the numbers ``version``, ``next_key``, ``stale``."""
    connection.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))


def add(connection: sqlite3.Connection, document: IndexedDocument) -> None:
    """Index a document unless it is there."""
    sizes = [utf8(text) for text in document.texts]
    inserted = connection.execute(
        "INSERT OR IGNORE INTO documents (id, first_key, passages, text_bytes, stored_bytes, batch)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            document.id,
            document.first_key,
            len(document.texts),
            sum(map(len, sizes)),
            document.stored_bytes,
            document.batch,
        ),
    )
    if not inserted.rowcount:
        return
    connection.executemany(
        "INSERT INTO words (rowid, text) VALUES (?, ?)",
        # SQLite takes no lone surrogates; they are no words either.
        ((key, spaced(data.decode("utf-8", "replace"))) for key, data in enumerate(sizes, start=document.first_key)),
    )
    connection.execute(
        "UPDATE meta SET value = max(value, ?) WHERE name = 'next_key'", (document.first_key + len(sizes),)
    )


def remove(connection: sqlite3.Connection, ids: Collection[str], *, forget: bool) -> None:
    """Drop documents; with ``forget``, the batches that brought them too."""
    deletes = deletes_words(connection)
    for document in ids:
        row = connection.execute(
            "DELETE FROM documents WHERE id = ? RETURNING first_key, passages, batch", (document,)
        ).fetchone()
        if row is None:
            continue
        first, passages, batch = row
        if deletes:
            connection.execute("DELETE FROM words WHERE rowid BETWEEN ? AND ?", (first, first + passages - 1))
        connection.execute("UPDATE meta SET value = value + ? WHERE name = 'stale'", (passages,))
        if forget:
            connection.execute("DELETE FROM batches WHERE id = ?", (batch,))


def clear(connection: sqlite3.Connection) -> None:
    """Drop all words and documents, so that no version of the store is reflected any more."""
    connection.execute("INSERT INTO words (words) VALUES ('delete-all')")
    connection.execute("DELETE FROM documents")
    set_meta(connection, "version", 0)
