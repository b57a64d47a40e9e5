"""The output of a pipeline as a table ``items`` of a SQLite database.

1. What is new is added in one transaction while the run goes on. What changed, or left, is
   shown at its end, when the file is written as a whole beside the old one and takes its place.
2. A kill in the middle of a transaction leaves a journal, which SQLite plays back. It is
   played back before the file is replaced, or it would be played into the new one.
3. The ledger decides what is there. So nothing is flushed until the end: after a power cut
   the file is not what the ledger remembers, and is written anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.pipeline.rows.columns import printable
from tenire.pipeline.rows.lines import items_of
from tenire.pipeline.rows.output import check_place, foreign, mark_of, replacing, unreadable, unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

__all__ = ["SqliteOutput"]

_ROWS_AT_ONCE = 1_000
_PATIENCE_S = 2.0
_LARGEST = 2**63
_BESIDE = ("-journal", "-wal", "-shm")


class SqliteOutput:
    """See ``Output``. Objects and lists are JSON in a text, ``true`` and ``false`` are 1 and 0.

    Args:
        path: Absolute path of the file.
        pipeline: Whose it is, for errors.
    """

    ordered = False

    def __init__(self, path: Path, *, pipeline: str) -> None:
        self.path = path
        self._pipeline = pipeline

    def check(self, *, own: bool = False) -> None:
        """See ``Output``."""
        check_place(self.path)
        if self.path.exists() and not own:
            raise foreign(self.path)

    def mark(self) -> str:
        """See ``Output``."""
        return mark_of(self.path)

    def append(self, lines: Iterable[bytes]) -> bool:
        """See ``Output``; where another program keeps the file locked, they are left to the end of the run."""
        items = list(items_of(lines))
        if not items:
            return True
        try:
            with contextlib.closing(_connect(self.path)) as connection, connection:
                connection.execute("BEGIN IMMEDIATE")
                _insert(connection, items)
        except sqlite3.OperationalError as error:
            if (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return False
            raise unwritable(self.path, self._pipeline, error) from error
        except (sqlite3.Error, OverflowError) as error:
            raise unwritable(self.path, self._pipeline, error) from error
        return True

    def replace(self, lines: Iterable[bytes]) -> None:
        """See ``Output``."""
        items = items_of(lines)
        try:
            self._play_back()
            with replacing(self.path) as temporary:
                temporary.unlink(missing_ok=True)
                with contextlib.closing(_connect(temporary, journal="OFF")) as connection, connection:
                    connection.execute("BEGIN")
                    connection.execute("CREATE TABLE items (id PRIMARY KEY NOT NULL)")
                    while records := list(islice(items, _ROWS_AT_ONCE)):
                        _insert(connection, records)
        except (OSError, sqlite3.Error, OverflowError) as error:
            raise unwritable(self.path, self._pipeline, error) from error

    def _play_back(self) -> None:
        """Let SQLite finish or take back what a kill has left in the middle (rule 2)."""
        beside = [self.path.with_name(self.path.name + suffix) for suffix in _BESIDE]
        if not any(map(os.path.exists, beside)):
            return
        with contextlib.suppress(sqlite3.Error), contextlib.closing(_connect(self.path)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        for left in beside:
            left.unlink(missing_ok=True)

    def read(self) -> tuple[Iterable[dict[str, Any]], Callable[[dict[str, Any]], dict[str, Any]]]:
        """See ``Output``."""
        return self._records(), _shown

    def _records(self) -> Iterator[dict[str, Any]]:
        try:
            connection = sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=_PATIENCE_S)
            with contextlib.closing(connection):
                found = connection.execute("SELECT * FROM items")
                names = [column[0] for column in found.description]
                for row in found:
                    yield dict(zip(names, row, strict=True))
        except sqlite3.Error as error:
            raise unreadable(self.path, self._pipeline, error) from error

    def close(self) -> None:
        """Have what was added on disk; see ``Output``."""
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            os.fsync(file.fileno())


def _connect(path: Path, *, journal: str = "DELETE") -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)
    try:
        connection.execute(f"PRAGMA journal_mode = {journal}").fetchone()
        connection.execute("PRAGMA synchronous = OFF")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _insert(connection: sqlite3.Connection, items: Iterable[dict[str, Any]]) -> None:
    known = {row[1] for row in connection.execute("PRAGMA table_info(items)")}
    for item in items:
        for name in item.keys() - known:
            connection.execute(f"ALTER TABLE items ADD COLUMN {_quoted(name)}")
            known.add(name)
        row = _shown(item)
        columns, marks = ", ".join(map(_quoted, row)), ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO items ({columns}) VALUES ({marks})", tuple(row.values()))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in item.items()}


def _value(value: Any) -> Any:
    """Return what SQLite can hold."""
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if -_LARGEST <= value < _LARGEST else str(value)
    return printable(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
