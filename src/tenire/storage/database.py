"""One SQLite file, one connection, one lock.

Every statement of a process goes through here, so that transactions never mix
and every error of SQLite becomes one that says what to do. WAL mode lets other
processes read while an engine writes.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from tenire.errors import DamagedFileError, InternalError, StoreError
from tenire.storage.private_file import make_private, withdraw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tenire.protocols import StopSign

__all__ = ["Database", "StoppedError", "explain"]

_BUSY_TIMEOUT_S = 10.0
_PAGES = 256  # a few milliseconds
_INCREMENTAL = 2
_RESTORE = "move it aside and run tenire ingest again, or restore it from a backup"


class StoppedError(Exception):
    """Work was broken off, as its stop sign asked for."""


class Database:
    """A connection that threads may share.

    Args:
        path: The database file.
        writable: Whether to open it for writing, making it if it is missing.
        write_ahead_log: Whether a writer turns the file to WAL mode at once. Without,
            it may look at a file that could be a foreign one, and change nothing;
            then it calls ``use_write_ahead_log`` before it writes.
        remedy: What to do if the file is damaged.

    Raises:
        StoreError: If it cannot be opened.
        DamagedFileError: If it is damaged; methods raise it too.
    """

    def __init__(self, path: Path, *, writable: bool, write_ahead_log: bool = True, remedy: str = _RESTORE) -> None:
        self.path = path
        self.writable = writable
        self._remedy = remedy
        self._lock = threading.RLock()
        try:
            self._connection = _connect_writer(path) if writable else _connect_reader(path)
        except sqlite3.Error as error:
            raise explain(error, path, remedy) from error
        if writable and write_ahead_log:
            try:
                self.use_write_ahead_log()
            except BaseException:
                self._connection.close()
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold one consistent view of the file; may be nested in any other block.

        Raises:
            StoreError: If the file cannot be read.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            with self._transaction("BEGIN"):
                yield self._connection

    def check(self) -> None:
        """Read the whole file, and see that it holds together.

        Raises:
            DamagedFileError: If it does not.
            StoreError: If it cannot be read.
        """
        with self.reading() as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            # Its first line only names the table.
            message = f"{self.path} is damaged ({found.splitlines()[-1]})"
            raise DamagedFileError(message, path=str(self.path), hint=self._remedy)

    @contextmanager
    def writing(self, *, durable: bool = False, stop: StopSign | None = None) -> Iterator[sqlite3.Connection]:
        """Change the file, all or nothing.

        Args:
            durable: Survive a power cut from here on, not only the death of this
                process. Costs one flush of the disk.
            stop: Tells when to break it off, if that may be.

        Raises:
            StoppedError: If it was broken off; nothing was changed.
            StoreError: If the file cannot be written; nothing was changed.
            InternalError: If a change breaks a rule of the schema, or if the
                block is inside of another.
        """
        with self._lock:
            if self._connection.in_transaction:
                message = f"a second transaction was begun inside of one on {self.path.name}"
                raise InternalError(message)
            self._set_durable(durable=durable)
            # Nobody else uses the connection while this has the lock, so nobody else is interrupted.
            interrupted = nullcontext() if stop is None else stop.calling(self._connection.interrupt)
            with self._transaction("BEGIN IMMEDIATE"), interrupted:
                yield self._connection

    def tidy(self, stop: StopSign) -> int:
        """Give free pages back to the system and empty the log; return the bytes gained.

        A little at a time, so that nobody waits for it long.

        Raises:
            StoreError: If the file cannot be written.
        """
        before = self._bytes()
        try:
            while not stop.requested and self._shorten():
                pass
            if not stop.requested:
                self._empty_log(stop)
        except StoppedError:
            pass  # what was done is done
        return max(0, before - self._bytes())

    def _shorten(self) -> bool:
        """Give some free pages back; return whether there are more. A file of an older version keeps its pages."""
        with self.writing() as connection:
            connection.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
            free = connection.execute("PRAGMA freelist_count").fetchone()[0]
            return bool(free) and connection.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL

    def _empty_log(self, stop: StopSign) -> None:
        with self._lock, stop.calling(self._connection.interrupt):
            try:
                # First without waiting for readers; then there is nothing to wait for, or it is left for another time.
                busy, log, moved = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if not busy and log == moved:
                    self._connection.execute("PRAGMA busy_timeout = 0")
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                raise explain(error, self.path, self._remedy) from error
            finally:
                self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_S * 1000:.0f}")

    def _bytes(self) -> int:
        return sum(_size(self.path.with_name(self.path.name + suffix)) for suffix in ("", "-wal"))

    def use_write_ahead_log(self) -> None:
        """Let readers of its owner read while this connection writes; the file remembers it.

        Raises:
            StoreError: If the file cannot be written.
        """
        withdraw(self.path)
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            # Keeps the log's file from staying as large as the largest transaction ever was.
            self._connection.execute("PRAGMA journal_size_limit = 16777216")
        except sqlite3.Error as error:
            raise explain(error, self.path, self._remedy) from error

    def _set_durable(self, *, durable: bool) -> None:
        try:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        except sqlite3.Error as error:
            raise explain(error, self.path, self._remedy) from error

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        try:
            self._connection.execute(begin)
            yield
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            raise explain(error, self.path, self._remedy) from error
        except BaseException:
            self._rollback()
            raise

    def _rollback(self) -> None:
        # SQLite has rolled back by itself after some errors (a full disk, for one).
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        with self._lock:
            self._connection.close()


def _connect_writer(path: Path) -> sqlite3.Connection:
    make_private(path)
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        # Touches the file: what is no database at all is found here.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not connection.execute("PRAGMA page_count").fetchone()[0]:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only a new file can be made so
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_reader(path: Path) -> sqlite3.Connection:
    uri = path.absolute().as_uri()
    try:
        return _try_reader(f"{uri}?mode=ro")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK and os.access(path.parent, os.W_OK):
            # A writer was killed in the middle of a transaction, before there was a log
            # to do without it. Only a writer may take that back; then there is something to read.
            _connect_writer(path).close()
            return _try_reader(f"{uri}?mode=ro")
        # Readers of a WAL file need its shared-memory file, which cannot be made on a read-only disk. There, without
        # a log or a journal that waits to be played back, the file may be read as it is. Anywhere else the error
        # stands: a connection that ignores logs would show an old state for as long as it lives.
        waiting = any(_holds_something(path.with_name(path.name + suffix)) for suffix in ("-wal", "-journal"))
        if not path.exists() or waiting or os.access(path.parent, os.W_OK):
            raise
        return _try_reader(f"{uri}?mode=ro&immutable=1")


def _holds_something(path: Path) -> bool:
    return _size(path) > 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _try_reader(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def explain(error: sqlite3.Error, path: Path, remedy: str = _RESTORE) -> StoreError | InternalError | StoppedError:
    """Return the error that says what happened to ``path`` and what to do about it; ``remedy``: if it is damaged."""
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return InternalError(f"the ledger {path} was used wrongly: {error}")
    # Extended codes keep the primary code in their low byte.
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_INTERRUPT:
        return StoppedError()
    if code == sqlite3.SQLITE_FULL:
        return StoreError(f"no space left to write {path}", hint="free some space and run the same command again")
    if code == sqlite3.SQLITE_READONLY:
        return StoreError(f"{path} cannot be written", hint="check its permissions, or name another home with --home")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedFileError(f"{path} is damaged ({error})", path=str(path), hint=remedy)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(f"another program keeps {path} locked", hint="close that program and try again")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
        return StoreError(
            f"cannot read or write {path} ({error})", hint="check the disk, free space and the file's permissions"
        )
    return StoreError(f"the ledger {path} failed: {error}", hint="run: tenire verify")
