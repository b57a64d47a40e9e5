"""What is known about documents besides their text: format, language, author, and so on.

One row a document, its facts as a JSON object of those that differ from the default:
facts that a later version adds need no other table, and a version that does not know
one passes over it.
"""

from __future__ import annotations

import json
from dataclasses import fields
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tenire.protocols import About
from tenire.storage.schema import decode_path, has_column, has_table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from tenire.storage.database import Database
    from tenire.storage.records import DocumentRow

__all__ = ["AboutTable", "KnownDocument", "add", "as_text", "from_text"]

_AT_ONCE = 500
_DEFAULT = About()
_DECODER = msgspec.json.Decoder(About)


class KnownDocument(NamedTuple):
    """One place of a document, and what is known about it.

    Attributes:
        document: Its id.
        source: A file that holds it.
        title: For people; may be empty.
        about: What else is known.
        similarity: The share of words that the file has in common with the document; less
            than 1 for one that is only nearly the same.
    """

    document: str
    source: str
    title: str
    about: About
    similarity: float = 1.0


class AboutTable:
    """The table ``abouts``, with the titles and places of the same documents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, documents: Iterable[str]) -> list[KnownDocument]:
        """Return the places of some documents with what is known about each, by document and source."""
        found: list[KnownDocument] = []
        iterator = iter(documents)
        with self._database.reading() as connection:
            while chunk := list(islice(iterator, _AT_ONCE)):
                marks = ",".join("?" * len(chunk))
                found += _rows(connection, f"WHERE s.document IN ({marks})", chunk)
        return sorted(found)

    def all(self) -> Iterator[KnownDocument]:
        """Yield the places of all documents with what is known about each, in one view of the ledger."""
        with self._database.reading() as connection:
            yield from _rows(connection, "WHERE s.document IS NOT NULL", [])

    def version(self) -> int:
        """Return a number that is another one after the ledger was changed by another connection."""
        with self._database.reading() as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _rows(connection: sqlite3.Connection, where: str, parameters: list[str]) -> Iterator[KnownDocument]:
    # A ledger that no engine of this version has opened has no such table yet.
    known = has_table(connection, "abouts")
    about = "coalesce(a.about, '{}')" if known else "'{}'"
    join = "LEFT JOIN abouts AS a ON a.document = d.id" if known else ""
    similarity = "s.similarity" if has_column(connection, "sources", "similarity") else "1.0"
    query = (
        f"SELECT DISTINCT d.id, s.source, d.title, {about}, {similarity}"
        " FROM sources AS s JOIN documents AS d ON d.id = s.document"
    )
    for document, source, title, text, share in connection.execute(f"{query} {join} {where}", parameters):
        yield KnownDocument(document, decode_path(source), title, _DECODER.decode(text), share)


def add(connection: sqlite3.Connection, rows: Iterable[DocumentRow]) -> None:
    """Write what is known about documents; inside of the caller's transaction, after the documents themselves."""
    connection.executemany(
        "INSERT OR REPLACE INTO abouts (document, about) VALUES (?, ?)",
        [(row.id, as_text(row.about)) for row in rows if row.about != _DEFAULT],
    )


def as_text(about: About) -> str:
    """Return the facts that differ from the default as a JSON object."""
    facts = {field.name: getattr(about, field.name) for field in fields(About)}
    known = {name: value for name, value in facts.items() if value != getattr(_DEFAULT, name)}
    # Names and titles in files may hold lone surrogates, which are no text to SQLite.
    return json.dumps(known, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")


def from_text(text: str) -> About:
    """Return the facts that ``as_text`` was given."""
    return _DECODER.decode(text)
