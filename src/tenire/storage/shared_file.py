"""A small SQLite file that many processes write, none of which owns it.

1. Every use is one short transaction; whoever waits longer than ``BUSY_S`` for another one
   gives up.
2. A file that is damaged, or is none, is put aside and made anew. One that was deleted
   under an open connection is made anew too, with its directory: else everybody would keep
   a file of his own, or have none.
3. It survives the death of its processes, not a power cut: what it holds is worth
   nothing after the machine has started anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import TYPE_CHECKING

from tenire.errors import StoreError
from tenire.storage.database import explain
from tenire.storage.private_file import make_private, withdraw

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["SharedFile"]

BUSY_S = 2.0


class SharedFile:
    """The file; from any thread, one transaction at a time.

    Args:
        path: Where it is; made if it is not there.
        application_id: Tells it from any other SQLite file.
        tables: The statements that make its tables.
    """

    def __init__(self, path: Path, *, application_id: int, tables: Sequence[str]) -> None:
        self._path = path
        self._application_id = application_id
        self._tables = tables
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        with self._lock:
            self._disconnect()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Change it, all or nothing.

        Raises:
            StoreError: If it cannot be used; nothing was changed.
        """
        with self._lock:
            try:
                connection = self._connected()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._disconnect()
                if _is_damage(error):
                    self._put_aside()  # for the next time
                raise explain(error, self._path) from error
            except OSError as error:  # something is in its way, or in that of what is put aside
                self._disconnect()
                message = f"cannot read or write {self._path} ({error.strerror or error})"
                raise StoreError(message, hint="check the disk, and the permissions of the directory") from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and not self._is_there():
            self._disconnect()
        if self._connection is None:
            try:
                self._connection = self._open()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._put_aside()
                self._connection = self._open()
            self._identity = _identity(self._path)
        return self._connection

    def _is_there(self) -> bool:
        """Return whether the open file is the one of that name: else everybody would count for himself."""
        return _identity(self._path) == self._identity

    def _open(self) -> sqlite3.Connection:
        with contextlib.suppress(OSError):  # as in ``make_private``
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_private(self._path)
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        withdraw(self._path)
        connection.execute("PRAGMA journal_mode = WAL")
        # A power cut may damage the file; then the machine starts anew, and so does the file.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if connection.execute("PRAGMA application_id").fetchone()[0] != self._application_id:
                for statement in self._tables:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {self._application_id}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _put_aside(self) -> None:
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._path}{suffix}")
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._path, f"{self._path}.damaged")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None) or 0
    return code & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
