"""Rows that pipelines have answered, or could not, and which were seen in a run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from tenire.storage.records import SourceState
from tenire.storage.schema import decode_path, encode_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tenire.clock import Clock
    from tenire.storage.database import Database
    from tenire.storage.records import Run

__all__ = ["LISTED", "AnsweredRow", "KnownRow", "RefusedRow", "RowTable"]

# Below the 999 parameters that old builds of SQLite allow in one statement.
_AT_ONCE = 500

LISTED = (
    "CREATE TEMP TABLE listed"
    " (run INTEGER, place INTEGER, key TEXT, times INTEGER, PRIMARY KEY (run, place)) WITHOUT ROWID",
    "CREATE UNIQUE INDEX temp.listed_by_key ON listed (run, key)",
)
"""What a run has listed, in its order: some dozen bytes a row, on disk when there are many."""


@dataclass(frozen=True, slots=True)
class KnownRow:
    """What the ledger knows about one row.

    Attributes:
        source: What names it for people.
        request: What was asked, as a hash.
        state: Done, quarantined, or quarantined and to be tried again.
    """

    source: str
    request: str
    state: SourceState


class AnsweredRow(NamedTuple):
    """A row that is done.

    Attributes:
        key: Names it within its pipeline.
        source: What names it for people.
        request: What was asked, as a hash.
        line: What the output says of it, with its line break.
    """

    key: str
    source: str
    request: str
    line: bytes


class RefusedRow(NamedTuple):
    """A row that goes to quarantine.

    Attributes:
        key: Names it within its pipeline.
        source: What names it for people.
        request: What was asked, as a hash.
        stage: The stage that refused it.
        error: Why.
        attempts: Tries that got an answer.
    """

    key: str
    source: str
    request: str
    stage: str
    error: str
    attempts: int


class RowTable:
    """The table ``rows``."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def list(self, run: Run, keys: Sequence[str], *, place: int) -> list[int]:
        """Note what a run lists, in its order; what was not noted counts as vanished.

        Args:
            run: The run.
            keys: Keys of the next rows.
            place: How many were listed before these.

        Returns:
            For each key how often the run has listed it, this time included. The
            first time gives the row its place.
        """
        times = []
        with self._database.reading() as connection:
            for number, key in enumerate(keys, place):
                row = (run.id, number, key)
                if connection.execute("INSERT OR IGNORE INTO temp.listed VALUES (?, ?, ?, 1)", row).rowcount:
                    times.append(1)
                    continue
                mine = (run.id, key)
                connection.execute("UPDATE temp.listed SET times = times + 1 WHERE run = ? AND key = ?", mine)
                found = connection.execute("SELECT times FROM temp.listed WHERE run = ? AND key = ?", mine).fetchone()
                times.append(int(found[0]))
        return times

    def known(self, pipeline: str, keys: Iterable[str]) -> dict[str, KnownRow]:
        """Return what is known of those rows of a pipeline that are, by key."""
        rows: dict[str, KnownRow] = {}
        with self._database.reading() as connection:
            for chunk in _chunks(keys):
                marks = ",".join("?" * len(chunk))
                query = f"SELECT key, source, request, state FROM rows WHERE pipeline = ? AND key IN ({marks})"
                for key, source, request, state in connection.execute(query, [pipeline, *chunk]):
                    rows[key] = KnownRow(decode_path(source), request, SourceState(state))
        return rows

    def answers(self, pipeline: str, keys: Iterable[str]) -> dict[str, tuple[str, bytes]]:
        """Return what was asked, as a hash, and the line, of those rows of a pipeline that are done, by key."""
        answers: dict[str, tuple[str, bytes]] = {}
        with self._database.reading() as connection:
            for chunk in _chunks(keys):
                marks = ",".join("?" * len(chunk))
                query = (
                    f"SELECT key, request, line FROM rows WHERE pipeline = ? AND state = 'done' AND key IN ({marks})"
                )
                for key, request, line in connection.execute(query, [pipeline, *chunk]):
                    answers[key] = (request, line)
        return answers

    def apply(self, run: Run, answered: Sequence[AnsweredRow], refused: Sequence[RefusedRow]) -> None:
        """Make results true, all or nothing.

        Args:
            run: The run that they belong to.
            answered: Rows that are done; each leaves the quarantine.
            refused: Rows that go to quarantine; the output loses them.
        """
        now = self._clock.wall()
        rows: list[tuple[str, str, bytes, str, str, bytes | None]] = [
            (run.pipeline, row.key, encode_path(row.source), row.request, "done", row.line) for row in answered
        ]
        rows += [(run.pipeline, row.key, encode_path(row.source), row.request, "quarantined", None) for row in refused]
        with self._database.writing() as connection:
            # By the name that the entry was made with: the row may stand in another file by now.
            connection.executemany(
                "DELETE FROM quarantine WHERE pipeline = ?1 AND source ="
                " (SELECT source FROM rows WHERE pipeline = ?1 AND key = ?2 AND state <> 'done' AND source <> ?3)",
                [(pipeline, key, b"" if state == "done" else source) for pipeline, key, source, _, state, _ in rows],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO rows (pipeline, key, source, request, state, line) VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
            connection.executemany(
                "INSERT INTO quarantine (pipeline, source, stage, error, attempts, at) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (pipeline, source) DO UPDATE SET stage = excluded.stage, error = excluded.error,"
                " attempts = attempts + excluded.attempts, at = excluded.at",
                [
                    (run.pipeline, encode_path(row.source), row.stage, _printable(row.error), row.attempts, now)
                    for row in refused
                ],
            )

    def refused(self, pipeline: str, *, prefix: str) -> dict[str, str]:
        """Return what was asked, as a hash, by the keys of rows in quarantine that begin with something."""
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT key, request FROM rows WHERE pipeline = ? AND state <> 'done' AND substr(key, 1, ?) = ?",
                (pipeline, len(prefix), prefix),
            ).fetchall()
        return dict(found)

    def forget(self, pipeline: str, keys: Iterable[str]) -> None:
        """Forget rows, those in quarantine too."""
        wanted = [(pipeline, key) for key in keys]
        with self._database.writing() as connection:
            connection.executemany(
                "DELETE FROM quarantine WHERE pipeline = ?1 AND source ="
                " (SELECT source FROM rows WHERE pipeline = ?1 AND key = ?2)",
                wanted,
            )
            connection.executemany("DELETE FROM rows WHERE pipeline = ? AND key = ?", wanted)

    def remove_vanished(self, run: Run, *, at_once: int = _AT_ONCE) -> int:
        """Forget some of the rows that this run did not list; only true once it has listed all.

        Returns:
            How many were forgotten; 0 if there are no more.
        """
        with self._database.writing() as connection:
            found = connection.execute(
                "SELECT key, source FROM rows WHERE pipeline = ? AND NOT EXISTS"
                " (SELECT 1 FROM temp.listed WHERE run = ? AND listed.key = rows.key) LIMIT ?",
                (run.pipeline, run.id, at_once),
            ).fetchall()
            connection.executemany(
                "DELETE FROM quarantine WHERE pipeline = ? AND source = ?",
                [(run.pipeline, source) for _, source in found],
            )
            connection.executemany(
                "DELETE FROM rows WHERE pipeline = ? AND key = ?", [(run.pipeline, key) for key, _ in found]
            )
        return len(found)

    def lines(self, pipeline: str, *, at_once: int = _AT_ONCE) -> Iterator[bytes]:
        """Yield the lines of all rows of a pipeline that are done, in no order that means anything."""
        last = ""
        while True:
            with self._database.reading() as connection:
                found = connection.execute(
                    "SELECT key, line FROM rows WHERE pipeline = ? AND key > ? AND state = 'done' ORDER BY key LIMIT ?",
                    (pipeline, last, at_once),
                ).fetchall()
            if not found:
                return
            last = found[-1][0]
            for _, line in found:
                yield line

    def lines_in_order(self, run: Run, *, at_once: int = _AT_ONCE) -> Iterator[bytes]:
        """Yield the lines of all rows that are done and that a run has listed, in its order."""
        last = -1
        while True:
            with self._database.reading() as connection:
                found = connection.execute(
                    "SELECT place, line FROM temp.listed JOIN rows ON rows.pipeline = ? AND rows.key = listed.key"
                    " WHERE run = ? AND place > ? AND state = 'done' ORDER BY place LIMIT ?",
                    (run.pipeline, run.id, last, at_once),
                ).fetchall()
            if not found:
                return
            last = found[-1][0]
            for _, line in found:
                yield line

    def lines_not_listed(self, run: Run, *, at_once: int = _AT_ONCE) -> Iterator[bytes]:
        """Yield the lines of all rows that are done and that a run has not listed, in the same order each time."""
        last = ""
        while True:
            with self._database.reading() as connection:
                found = connection.execute(
                    "SELECT key, line FROM rows WHERE pipeline = ? AND key > ? AND state = 'done' AND NOT EXISTS"
                    " (SELECT 1 FROM temp.listed WHERE run = ? AND listed.key = rows.key) ORDER BY key LIMIT ?",
                    (run.pipeline, last, run.id, at_once),
                ).fetchall()
            if not found:
                return
            last = found[-1][0]
            for _, line in found:
                yield line

    def forget_listed(self, run: Run) -> None:
        """Forget what a run has listed."""
        with self._database.reading() as connection:
            connection.execute("DELETE FROM temp.listed WHERE run = ?", (run.id,))

    def count(self, pipeline: str) -> int:
        """Return how many rows of a pipeline are done."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT count(*) FROM rows WHERE pipeline = ? AND state = 'done'", (pipeline,)
            ).fetchone()
        return int(row[0])

    def to_retry(self, pipeline: str) -> int:
        """Return how many rows of a pipeline in quarantine the next run tries again."""
        with self._database.reading() as connection:
            # The first condition is that of the index.
            row = connection.execute(
                "SELECT count(*) FROM rows WHERE pipeline = ? AND state <> 'done' AND state = 'retry'", (pipeline,)
            ).fetchone()
        return int(row[0])


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(keys)
    while chunk := list(islice(iterator, _AT_ONCE)):
        yield chunk


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
