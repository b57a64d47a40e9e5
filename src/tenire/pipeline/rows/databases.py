"""One query to a database, for reading only: first the names of its columns, then its rows."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenire.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["query_postgres", "query_sqlite"]

_ROWS_AT_ONCE = 500
_PATIENCE_S = 30.0


def query_sqlite(path: str, query: str) -> Generator[Any]:
    """Ask a SQLite file.

    Raises:
        ConfigError: If there is no such file, or the statement returns no rows.
        sqlite3.Error: If SQLite refuses.
    """
    if not os.path.isfile(path):
        message = f"the database {path} is no file"
        raise ConfigError(message, key="source", hint="relative paths start at the directory of the configuration")
    # Rows are taken by whichever thread has time, one after the other.
    connection = sqlite3.connect(
        f"{Path(path).as_uri()}?mode=ro", uri=True, timeout=_PATIENCE_S, check_same_thread=False
    )
    with closing(connection), closing(connection.execute(query)) as cursor:
        yield _names(cursor.description)
        yield from cursor


def query_postgres(dsn: str, query: str) -> Generator[Any]:
    """Ask a PostgreSQL server.

    Raises:
        MissingExtraError: If psycopg is not installed.
        ConfigError: If the statement returns no rows.
        psycopg.Error: If the server refuses.
    """
    try:
        import psycopg
    except ImportError as error:
        raise MissingExtraError("reading from PostgreSQL", extra="postgres", missing="psycopg") from error
    with psycopg.connect(dsn) as connection:
        connection.read_only = True
        # On the server, or all rows would come at once.
        with connection.cursor(name="tenire") as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            cursor.execute(query)
            yield _names(cursor.description)
            yield from cursor


def _names(description: Any) -> list[str]:
    if description is None:
        message = "the query must return rows, as SELECT does"
        raise ConfigError(message, key="source")
    return [column[0] for column in description]
