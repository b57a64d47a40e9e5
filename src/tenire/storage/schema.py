"""The ledger's tables, and which file is one.

``sources`` says where each document came from, ``documents`` what the store
holds, ``batches`` which commits are under way. A source points to a document;
the foreign key refuses to forget a document that a source still needs. A member of a
container is a source too, and names its container. ``history``
is the scheduler's: how long tasks take. ``replies`` holds what models answered,
``flights`` who asks them for what right now, ``spending`` what that cost,
``expected_charges`` what calls that were sent are going to cost, and
``spending_holds`` what running programs may still spend. ``provider_batches`` are those
that a provider works on, with the requests in ``batch_lines``. ``rows`` are those that
pipelines have answered, each with its lines of the output; ``stage_results`` what stages
made of them on the way there. ``abouts`` says what is known
about a document besides its text.

Paths are kept as bytes: file names need not be valid UTF-8.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tenire.errors import StoreError

if TYPE_CHECKING:
    import sqlite3

    from tenire.storage.database import Database

__all__ = [
    "APPLICATION_ID",
    "FORMAT",
    "check_format",
    "check_integrity",
    "complete",
    "decode_path",
    "encode_path",
    "has_column",
    "has_table",
    "prepare",
]

FORMAT = 1
APPLICATION_ID = 0x54454E49  # "TENI": tells a ledger from any other SQLite file

# Plain tables only: STRICT and RETURNING are newer than the SQLite of some supported systems.
_TABLES = (
    """CREATE TABLE settings (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE documents (
        id TEXT PRIMARY KEY,
        passages INTEGER NOT NULL,
        text_bytes INTEGER NOT NULL,
        title TEXT NOT NULL
    ) WITHOUT ROWID""",
    # AUTOINCREMENT: ids only grow, so that "came during this run" is one comparison.
    """CREATE TABLE sources (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        pipeline TEXT NOT NULL,
        source BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        content_hash TEXT NOT NULL,
        document TEXT REFERENCES documents (id),
        state TEXT NOT NULL CHECK (state IN ('done', 'quarantined', 'retry')),
        recipe TEXT NOT NULL,
        racy INTEGER NOT NULL,
        UNIQUE (pipeline, source),
        CHECK ((state = 'done') = (document IS NOT NULL))
    )""",
    "CREATE INDEX sources_by_document ON sources (document) WHERE document IS NOT NULL",
    """CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        pipeline TEXT NOT NULL,
        source BLOB NOT NULL,
        stage TEXT NOT NULL,
        error TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        at REAL NOT NULL,
        UNIQUE (pipeline, source)
    )""",
    """CREATE TABLE batches (
        id TEXT PRIMARY KEY,
        pipeline TEXT NOT NULL,
        created_at REAL NOT NULL,
        change TEXT NOT NULL
    )""",
    """CREATE TABLE memos (
        recipe TEXT NOT NULL,
        input TEXT NOT NULL,
        output BLOB NOT NULL,
        created_at REAL NOT NULL,
        PRIMARY KEY (recipe, input)
    )""",
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        pipeline TEXT NOT NULL,
        state TEXT NOT NULL,
        started_at REAL NOT NULL,
        finished_at REAL,
        totals TEXT NOT NULL
    )""",
    "CREATE INDEX runs_by_pipeline ON runs (pipeline, id)",
)

# Came later than the others, and the format stays what it was: a version that does not
# know these tables never looks at them, and would refuse a ledger of a higher format for nothing.
_LATER = {
    # AUTOINCREMENT: replacing a row moves it to the end, so that ids tell which one is newest.
    "history": """CREATE TABLE IF NOT EXISTS history (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name BLOB NOT NULL UNIQUE,
        facts TEXT NOT NULL
    )""",
    # With a rowid: replies may be long, and a tree of keys alone is looked through faster.
    "replies": """CREATE TABLE IF NOT EXISTS replies (
        key BLOB PRIMARY KEY,
        reply BLOB NOT NULL,
        made_at REAL NOT NULL,
        used_at REAL NOT NULL
    )""",
    "flights": """CREATE TABLE IF NOT EXISTS flights (
        key BLOB PRIMARY KEY,
        owner TEXT NOT NULL,
        good_until REAL NOT NULL
    ) WITHOUT ROWID""",
    "spending": """CREATE TABLE IF NOT EXISTS spending (
        day TEXT NOT NULL,
        pipeline TEXT NOT NULL,
        model TEXT NOT NULL,
        calls INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL,
        cost INTEGER NOT NULL,
        guessed INTEGER NOT NULL,
        PRIMARY KEY (day, pipeline, model)
    ) WITHOUT ROWID""",
    "spending_holds": """CREATE TABLE IF NOT EXISTS spending_holds (
        owner TEXT PRIMARY KEY,
        cost INTEGER NOT NULL,
        good_until REAL NOT NULL
    ) WITHOUT ROWID""",
    "expected_charges": """CREATE TABLE IF NOT EXISTS expected_charges (
        owner TEXT NOT NULL,
        number INTEGER NOT NULL,
        pipeline TEXT NOT NULL,
        model TEXT NOT NULL,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        cost INTEGER NOT NULL,
        good_until REAL NOT NULL,
        PRIMARY KEY (owner, number)
    ) WITHOUT ROWID""",
    "provider_batches": """CREATE TABLE IF NOT EXISTS provider_batches (
        id TEXT PRIMARY KEY,
        service TEXT NOT NULL,
        pipeline TEXT NOT NULL,
        model TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('made', 'uploaded', 'creating', 'sent')),
        file TEXT NOT NULL,
        provider_id TEXT NOT NULL,
        lines INTEGER NOT NULL,
        held INTEGER NOT NULL,
        unwanted INTEGER NOT NULL,
        made_at REAL NOT NULL,
        sent_at REAL NOT NULL,
        owner TEXT NOT NULL,
        good_until REAL NOT NULL
    )""",
    "batch_lines": """CREATE TABLE IF NOT EXISTS batch_lines (
        key BLOB PRIMARY KEY,
        batch TEXT NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        seen INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID""",
    "batch_lines_by_batch": "CREATE INDEX IF NOT EXISTS batch_lines_by_batch ON batch_lines (batch)",
    "replies_by_use": "CREATE INDEX IF NOT EXISTS replies_by_use ON replies (used_at)",
    "rows": """CREATE TABLE IF NOT EXISTS rows (
        pipeline TEXT NOT NULL,
        key TEXT NOT NULL,
        source BLOB NOT NULL,
        request TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('done', 'quarantined', 'retry')),
        line BLOB,
        PRIMARY KEY (pipeline, key),
        CHECK ((state = 'done') = (line IS NOT NULL))
    )""",
    "stage_results": """CREATE TABLE IF NOT EXISTS stage_results (
        pipeline TEXT NOT NULL,
        key TEXT NOT NULL,
        stage INTEGER NOT NULL,
        made_from TEXT NOT NULL,
        output BLOB NOT NULL,
        PRIMARY KEY (pipeline, key, stage)
    )""",
    # Few rows have a container, so the index is small.
    "sources_by_container": (
        "CREATE INDEX IF NOT EXISTS sources_by_container ON sources (pipeline, container) WHERE container IS NOT NULL"
    ),
    # A document takes what is known about it along when it goes, also where an older version lets it go.
    # AUTOINCREMENT: a band whose document has left must never mean another one.
    "near_documents": """CREATE TABLE IF NOT EXISTS near_documents (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        pipeline TEXT NOT NULL,
        document TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
        signature BLOB NOT NULL,
        UNIQUE (document, pipeline)
    )""",
    "near_bands": """CREATE TABLE IF NOT EXISTS near_bands (
        band INTEGER NOT NULL,
        number INTEGER NOT NULL,
        PRIMARY KEY (band, number)
    ) WITHOUT ROWID""",
    "sources_nearly": "CREATE INDEX IF NOT EXISTS sources_nearly ON sources (document) WHERE similarity < 1",
    "filtered": """CREATE TABLE IF NOT EXISTS filtered (
        document TEXT PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
        rule TEXT NOT NULL,
        reason TEXT NOT NULL
    ) WITHOUT ROWID""",
    "abouts": """CREATE TABLE IF NOT EXISTS abouts (
        document TEXT PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
        about TEXT NOT NULL
    ) WITHOUT ROWID""",
    "rows_by_source": ("CREATE INDEX IF NOT EXISTS rows_by_source ON rows (pipeline, source) WHERE state <> 'done'"),
}

# Columns that came later, for the same reason not part of the format.
_LATER_COLUMNS = {
    ("sources", "container"): "ALTER TABLE sources ADD COLUMN container BLOB",
    ("sources", "read_in"): "ALTER TABLE sources ADD COLUMN read_in INTEGER NOT NULL DEFAULT 0",
    ("sources", "similarity"): "ALTER TABLE sources ADD COLUMN similarity REAL NOT NULL DEFAULT 1",
}


def encode_path(path: str) -> bytes:
    """Return a path as the bytes that the ledger keeps."""
    return os.fsencode(path)


def decode_path(raw: bytes) -> str:
    """Return the path that ``encode_path`` was given."""
    return os.fsdecode(raw)


def prepare(database: Database) -> None:
    """Make a writable file a ledger of this format, if it is empty.

    Raises:
        StoreError: If the file is something else, or newer than this version.
    """
    is_ledger = check_format(database)
    database.use_write_ahead_log()  # Only now: a foreign file stays as it is.
    if is_ledger:
        complete(database)
        return
    with database.writing(durable=True) as connection:
        for statement in (*_TABLES, *_LATER_COLUMNS.values(), *_LATER.values()):
            connection.execute(statement)
        # In the same transaction: a kill leaves an empty file or a whole ledger.
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")


def complete(database: Database) -> None:
    """Add to a ledger what an older version of the same format did not make."""
    with database.reading() as connection:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        missing = [
            statement
            for (table, column), statement in _LATER_COLUMNS.items()
            if not has_column(connection, table, column)
        ]
    if missing := [*missing, *(statement for name, statement in _LATER.items() if name not in there)]:
        with database.writing() as connection:
            for statement in missing:
                connection.execute(statement)


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether a ledger has a table; one that no engine of this version has opened may lack the later ones."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)).fetchone()
    return found is not None


def has_column(connection: sqlite3.Connection, table: str, column: str) -> bool:
    """Return whether a table has a column; see ``has_table``."""
    return any(row[1] == column for row in connection.execute(f"PRAGMA table_info({table})"))


def check_format(database: Database) -> bool:
    """Return whether the file is a ledger that this version can use; ``False`` if it is empty.

    Raises:
        StoreError: If the file is something else, or newer than this version.
    """
    with database.reading() as connection:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables and not application and not version:
        return False
    if application != APPLICATION_ID:
        message = f"{database.path} is a SQLite file, but not a ledger of Tenire"
        raise StoreError(message, hint="name another home with --home, or move that file aside")
    if version != FORMAT:
        message = f"{database.path} has format {version}, and this version of Tenire knows format {FORMAT}"
        raise StoreError(message, hint="upgrade Tenire (pip install -U tenire), or name another home with --home")
    return True


def check_integrity(database: Database) -> None:
    """Look for damage in the whole file.

    Raises:
        StoreError: If the file is damaged; names the first problem.
    """
    with database.reading() as connection:
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        message = f"{database.path} is damaged ({problem})"
        raise StoreError(message, hint="move it aside and run tenire ingest again, or restore it from a backup")
