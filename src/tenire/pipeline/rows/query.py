"""Rows that a query of a database returns: SQLite, or PostgreSQL.

The result is written to a temporary file first, as fast as the database gives it, and
read from there. So rows are those of one moment, and no lock or transaction is held for as
long as a run takes. Nothing can be written: the database is opened for reading only.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

import msgspec

from tenire.errors import ConfigError, MissingExtraError
from tenire.pipeline.rows.databases import query_postgres, query_sqlite
from tenire.pipeline.rows.records import BrokenRow, Row, missing_field, row_or_broken
from tenire.pipeline.rows.values import row_of_values

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

__all__ = ["QuerySource"]

_HINT = "nothing was removed; run again once it can be read"


class QuerySource:
    """See ``Rows``.

    Args:
        database: Absolute path of a SQLite file, or a DSN ``postgresql://…``.
        query: One statement that returns rows; each row needs an ``id``, or gets the hash of its content.
    """

    repeatable = False

    def __init__(self, database: str, query: str) -> None:
        self._database = database
        self._query = query
        self._is_server = "://" in database
        # A password has no place in messages and in the quarantine.
        parts = urlsplit(database)
        self._shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if self._is_server else database

    def check(self) -> None:
        """Refuse a database that cannot be read, and a query that it does not understand or that returns no rows.

        Raises:
            ConfigError: Says which, and why.
            MissingExtraError: If what speaks to the database is not installed.
        """
        self._columns()

    def rows(self) -> Iterator[Row | BrokenRow]:
        """Yield all rows in the order of the query.

        Raises:
            ConfigError: If the database cannot be read.
        """
        with tempfile.TemporaryFile() as spool:
            self._copy(spool)
            spool.seek(0)
            for number, line in enumerate(spool, 1):
                yield self._row(line, number)

    def sizes(self) -> Iterator[int]:
        """Yield nothing: counting would ask the query once more; see ``Rows``."""
        return iter(())

    def require_fields(self, fields: Sequence[str], key: str) -> None:
        """Check that the query returns such columns; see ``Rows``."""
        columns = self._columns()
        missing = next((field for field in fields if field not in columns), None)
        if missing is not None:
            raise missing_field(missing, key, got=f"the query returns: {', '.join(columns)}")

    async def fetch(self) -> None:
        """Do nothing: rows come where they are asked for."""

    def _columns(self) -> list[str]:
        with closing(self._results()) as results:
            columns: list[str] = next(results)
            return columns

    def _results(self) -> Generator[Any]:
        """Yield the names of columns, and then rows as tuples."""
        ask = query_postgres if self._is_server else query_sqlite
        results = ask(self._database, self._query)
        try:
            with closing(results):
                columns = next(results)
                _require_names(columns)
                yield columns
                yield from results
        except (ConfigError, MissingExtraError):
            raise
        except Exception as error:
            reason = " ".join(str(error).split())
            message = f"the query of {self._shown} failed: {type(error).__name__}: {reason}"
            raise ConfigError(message, key="source", hint=_HINT) from error

    def _copy(self, spool: BinaryIO) -> None:
        with closing(self._results()) as results:
            columns = next(results)
            for number, values in enumerate(results, 1):
                fields = dict(zip(columns, values, strict=True))
                row = row_of_values(fields, file=self._shown, place=f"row {number}", size=0)
                record = (
                    {"broken": row.error, "content": row.content} if isinstance(row, BrokenRow) else dict(row.fields)
                )
                spool.write(_line([isinstance(row, BrokenRow), record]))

    def _row(self, line: bytes, number: int) -> Row | BrokenRow:
        place = f"row {number}"
        is_broken, record = _read(line)
        if is_broken:
            return BrokenRow(self._shown, place, record["broken"], record["content"], len(line))
        return row_or_broken(record, file=self._shown, place=place, size=len(line))


def _require_names(columns: Sequence[str]) -> None:
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        message = f"each column must have a name of its own, the query returns {twice!r} twice"
        raise ConfigError(message, key="source", hint="name one of them otherwise: … AS …")


def _line(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value) + b"\n"
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(value).encode() + b"\n"


def _read(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError):
        return json.loads(line)
