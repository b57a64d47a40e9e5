"""The ledger of a home: what is known, what is done, what failed.

It is one SQLite file. One engine writes it (``HomeLock``); any number of readers
read it meanwhile, in this or other processes. All methods block and may be
called from any thread.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tenire.clock import SYSTEM_CLOCK
from tenire.errors import StoreError
from tenire.storage import schema
from tenire.storage.abouts import AboutTable
from tenire.storage.batches import BatchTable
from tenire.storage.database import Database
from tenire.storage.filtered import FilteredTable
from tenire.storage.history import HistoryTable
from tenire.storage.memos import MemoTable
from tenire.storage.near_duplicates import NearTable
from tenire.storage.provider_batches import ProviderBatchTable
from tenire.storage.quarantine import QuarantineTable
from tenire.storage.records import LedgerTotals
from tenire.storage.replies import ReplyTable
from tenire.storage.rows import LISTED, RowTable
from tenire.storage.runs import RunTable
from tenire.storage.sources import SourceTable
from tenire.storage.spending import SpendingTable
from tenire.storage.stage_results import StageResultTable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from tenire.clock import Clock
    from tenire.protocols import StopSign
    from tenire.storage.home import Home

__all__ = ["Ledger"]

_PATIENCE_S = 0.3


class Ledger:
    """An open ledger; a context manager. Make one with ``open`` or ``read``.

    Attributes:
        sources: Known sources and the documents they point to.
        filtered: Documents that were filtered.
        near: Which documents are nearly the same.
        abouts: What is known about documents besides their text.
        batches: Commits under way; the only way to change sources and documents.
        quarantine: Sources that cannot be used.
        runs: When each pipeline ran.
        memos: Results of stages.
        history: What tasks usually take.
        replies: What models answered.
        spending: What that cost.
        provider_batches: Batches that a provider works on.
        rows: Rows that pipelines have answered.
        stage_results: What stages made of them on the way.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self.sources = SourceTable(database)
        self.abouts = AboutTable(database)
        self.filtered = FilteredTable(database)
        self.near = NearTable(database)
        self.batches = BatchTable(database, clock)
        self.quarantine = QuarantineTable(database)
        self.runs = RunTable(database, clock)
        self.memos = MemoTable(database, clock)
        self.history = HistoryTable(database)
        self.replies = ReplyTable(database, clock)
        self.spending = SpendingTable(database, clock)
        self.provider_batches = ProviderBatchTable(database, clock)
        self.rows = RowTable(database, clock)
        self.stage_results = StageResultTable(database)

    @classmethod
    def open(cls, home: Home, *, clock: Clock = SYSTEM_CLOCK) -> Ledger:
        """Open the ledger of a home for an engine, which holds the home's lock.

        Makes it if there is none, and checks the whole file for damage.

        Raises:
            StoreError: If it is damaged, newer than this version, something else,
                or cannot be written.
        """
        home.create()
        database = Database(home.ledger_path, writable=True, write_ahead_log=False)
        try:
            schema.prepare(database)
            schema.check_integrity(database)
            with database.reading() as connection:
                connection.execute(
                    "CREATE TEMP TABLE seen (run INTEGER, id INTEGER, PRIMARY KEY (run, id)) WITHOUT ROWID"
                )
                for statement in LISTED:
                    connection.execute(statement)
        except BaseException:
            database.close()
            raise
        return cls(database, clock)

    @classmethod
    def join(cls, home: Home, *, clock: Clock = SYSTEM_CLOCK, patience_s: float = _PATIENCE_S) -> Ledger:
        """Open a ledger for short writes beside the engine that may hold the home's lock.

        Only for what no commit of documents depends on. It does not look for damage, makes
        no ledger, and gives up if another writer is slow.

        Args:
            home: The home.
            clock: Tells the time.
            patience_s: Seconds to wait for another writer.

        Raises:
            StoreError: If there is none, or it is newer than this version, something
                else, or cannot be written.
        """
        if not cls.exists(home):
            message = f"there is no ledger in {home.path}"
            raise StoreError(message, hint="run: tenire ingest PATH")
        database = Database(home.ledger_path, writable=True, write_ahead_log=False)
        try:
            with database.reading() as connection:
                connection.execute(f"PRAGMA busy_timeout = {patience_s * 1000:.0f}")
            schema.complete(database)
        except BaseException:
            database.close()
            raise
        return cls(database, clock)

    @staticmethod
    def exists(home: Home) -> bool:
        """Return whether a home has a ledger, and not only the file that a killed engine began.

        Raises:
            StoreError: If there is one and it is damaged, newer than this version, or something else.
        """
        # os.path instead of Path: it answers "no" where Path raises for a directory that may not be entered.
        if not os.path.exists(home.ledger_path):
            return False
        database = Database(home.ledger_path, writable=False)
        try:
            return schema.check_format(database)
        finally:
            database.close()

    @classmethod
    def read(cls, home: Home, *, clock: Clock = SYSTEM_CLOCK, whole: bool = False) -> Ledger:
        """Open the ledger of a home for reading; needs no lock, makes no file.

        Args:
            home: The home.
            clock: Tells the time.
            whole: Whether to check the whole file for damage.

        Raises:
            StoreError: If there is none, or it is damaged, newer than this
                version, or something else.
        """
        home.require()
        database = Database(home.ledger_path, writable=False)
        try:
            is_ledger = schema.check_format(database)
            if whole and is_ledger:
                schema.check_integrity(database)
        except BaseException:
            database.close()
            raise
        if not is_ledger:
            database.close()
            message = f"the home at {home.path} holds nothing yet"
            raise StoreError(message, hint="run: tenire ingest PATH")
        return cls(database, clock)

    def snapshot(self) -> AbstractContextManager[object]:
        """Hold one consistent view over several questions, as a context manager."""
        return self._database.reading()

    def setting(self, key: str) -> str | None:
        """Return what ``remember`` kept under a key, or ``None``."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def settings(self, prefix: str) -> dict[str, str]:
        """Return all that ``remember`` kept under keys with a prefix, by the rest of the key."""
        with self._database.reading() as connection:
            query = "SELECT substr(key, ?2), value FROM settings WHERE substr(key, 1, ?2 - 1) = ?1 ORDER BY key"
            return dict(connection.execute(query, (prefix, len(prefix) + 1)).fetchall())

    def remember(self, key: str, value: str) -> None:
        """Keep a fact about this home, for example which store and embedder it uses."""
        with self._database.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", (key, value))

    def totals(self) -> LedgerTotals:
        """Return what the ledger holds."""
        with self._database.reading() as connection:
            done = self.sources.done()
            unique, chunks, text_bytes = connection.execute(
                "SELECT count(*), coalesce(sum(passages), 0), coalesce(sum(text_bytes), 0) FROM documents"
            ).fetchone()
            return LedgerTotals(done, unique, chunks, text_bytes, self.quarantine.count(), self.runs.last())

    def tidy(self, stop: StopSign) -> int:
        """Give free space back to the system, until ``stop`` says that it has to end; return the bytes gained.

        Raises:
            StoreError: If it cannot be written.
        """
        return self._database.tidy(stop)

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._database.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
