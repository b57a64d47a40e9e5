"""Batches that a provider works on, and whose lines they hold: nothing is handed over twice.

::

    made ──► uploaded ──► creating ──► sent ──► gone, with its lines settled
                             │
                             └ the answer may have been lost: look for it by its mark

1. A request is in one batch at most, over all programs that use this home, from before its
   line is written until its reply is kept.
2. That a batch is about to be created survives a power cut before the provider is asked.
3. A reply, what it cost and the end of its line are one change, so reading the results of a
   batch twice keeps and charges nothing twice.
4. A batch is looked after by one owner at a time (``owners``). What one without an owner may
   cost counts as spent (``spending``).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from tenire.storage.owners import LEASE_S, is_void
from tenire.storage.spending import Charge, add_charges

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from tenire.clock import Clock
    from tenire.storage.database import Database

__all__ = ["OpenBatch", "ProviderBatchTable", "SettledLine"]

_AT_ONCE = 500
_COLUMNS = "id, service, pipeline, model, state, file, provider_id, lines, held, unwanted, made_at, sent_at"


class OpenBatch(NamedTuple):
    """A batch that has not ended.

    Attributes:
        id: Ours; the mark that goes with it.
        service: Who was asked.
        pipeline: Whose it is.
        model: The model.
        state: ``made``, ``uploaded``, ``creating`` or ``sent``.
        file: The provider's name for its file; empty until it is ``uploaded``.
        provider_id: The provider's name for it; empty until it is ``sent``.
        lines: Requests in it.
        held: The most that it can cost, picodollars.
        unwanted: Whether it is to be cancelled.
        made_at: Seconds since the epoch.
        sent_at: Seconds since the epoch; 0 until it is ``sent``.
    """

    id: str
    service: str
    pipeline: str
    model: str
    state: str = "made"
    file: str = ""
    provider_id: str = ""
    lines: int = 0
    held: int = 0
    unwanted: bool = False
    made_at: float = 0.0
    sent_at: float = 0.0


class SettledLine(NamedTuple):
    """What became of one line.

    Attributes:
        key: Of the request.
        reply: Its bytes, or ``None`` if there is none to keep.
        charge: What it cost, or ``None``.
        again: Whether it is to be asked again.
    """

    key: bytes
    reply: bytes | None = None
    charge: Charge | None = None
    again: bool = False


class ProviderBatchTable:
    """The tables ``provider_batches`` and ``batch_lines``."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def open(self, owner: str, batch: OpenBatch) -> None:
        """Begin a batch without lines."""
        with self._database.writing() as connection:
            self._insert(connection, owner, batch)

    def claim(self, batch: str, keys: Sequence[bytes], made_after: float = 0.0) -> dict[bytes, str | None]:
        """Take requests into a batch that is ``made``.

        Args:
            batch: Its id.
            keys: Of the requests.
            made_after: Seconds since the epoch; an older reply does not count.

        Returns:
            What else is known of those that were not taken: the batch that holds it, or
            ``None`` if its reply is kept.
        """
        with self._database.writing() as connection:
            found: dict[bytes, str | None] = {}
            for chunk, marks in _chunks(keys):
                query = f"SELECT key, batch FROM batch_lines WHERE key IN ({marks})"
                found.update(connection.execute(query, chunk))
                query = f"SELECT key, NULL FROM replies WHERE key IN ({marks}) AND made_at >= ?"
                found.update(connection.execute(query, (*chunk, made_after)))
            free = [(key, batch) for key in dict.fromkeys(keys) if key not in found]
            connection.executemany("INSERT INTO batch_lines (key, batch) VALUES (?, ?)", free)
        return found

    def seal(self, batch: str, *, lines: int, held: int) -> None:
        """Note how many lines a batch has, and the most that it can cost, picodollars."""
        with self._database.writing() as connection:
            connection.execute("UPDATE provider_batches SET lines = ?, held = ? WHERE id = ?", (lines, held, batch))

    def uploaded(self, batch: str, file: str) -> None:
        """Note the provider's name for the file of a batch."""
        with self._database.writing() as connection:
            connection.execute("UPDATE provider_batches SET state = 'uploaded', file = ? WHERE id = ?", (file, batch))

    def creating(self, batch: str) -> None:
        """Note that the provider is about to be asked; durable once this returns."""
        with self._database.writing(durable=True) as connection:
            connection.execute("UPDATE provider_batches SET state = 'creating' WHERE id = ?", (batch,))

    def sent(self, batch: str, provider_id: str) -> None:
        """Note the provider's name for a batch; durable once this returns."""
        with self._database.writing(durable=True) as connection:
            connection.execute(
                "UPDATE provider_batches SET state = 'sent', provider_id = ?, sent_at = ? WHERE id = ?",
                (provider_id, self._clock.wall(), batch),
            )

    def settle(self, batch: str, settled: Sequence[SettledLine]) -> set[bytes]:
        """Keep replies and charges of lines that have not been settled before; durable once this returns.

        Returns:
            The keys of those.
        """
        now = self._clock.wall()
        new: set[bytes] = set()
        with self._database.writing(durable=True) as connection:
            for chunk, marks in _chunks([line.key for line in settled]):
                query = f"SELECT key FROM batch_lines WHERE batch = ? AND NOT seen AND key IN ({marks})"
                new.update(key for (key,) in connection.execute(query, (batch, *chunk)))
            fresh = [line for line in settled if line.key in new]
            connection.executemany(
                "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?)",
                [(line.key, line.reply, now, now) for line in fresh if line.reply is not None],
            )
            add_charges(connection, [line.charge for line in fresh if line.charge is not None], now)
            ended = [(line.key,) for line in fresh if not line.again]
            connection.executemany("DELETE FROM batch_lines WHERE key = ?", ended)
            again = [(line.key,) for line in fresh if line.again]
            connection.executemany("UPDATE batch_lines SET seen = 1 WHERE key = ?", again)
        return new

    def left(self, batch: str) -> dict[bytes, int]:
        """Return the lines of a batch that have not ended, and how often the provider has tried each."""
        with self._database.reading() as connection:
            return dict(connection.execute("SELECT key, tries + seen FROM batch_lines WHERE batch = ?", (batch,)))

    def move(
        self, owner: str, old: OpenBatch, parts: Mapping[str, Collection[bytes]], *, tried: bool
    ) -> list[OpenBatch]:
        """Put the lines of a batch into new ones; it goes, and those of its lines that are in none.

        Args:
            owner: Who looks after the new ones.
            old: The batch.
            parts: Ids of the new ones, and the keys of their lines.
            tried: Whether the provider had time enough to try all of them. Otherwise it has tried
                those whose failure was settled.

        Returns:
            The new ones, ``made``.
        """
        now = self._clock.wall()
        made = []
        with self._database.writing() as connection:
            for new, keys in parts.items():
                share = old.held * len(keys) // max(1, old.lines)
                batch = OpenBatch(new, old.service, old.pipeline, old.model, lines=len(keys), held=share, made_at=now)
                self._insert(connection, owner, batch)
                connection.executemany(
                    "UPDATE batch_lines SET batch = ?, seen = 0, tries = tries + max(seen, ?)"
                    " WHERE key = ? AND batch = ?",
                    [(new, tried, key, old.id) for key in keys],
                )
                made.append(batch)
            self._delete(connection, old.id)
        return made

    def drop(self, batch: str) -> None:
        """Forget a batch, and free its lines."""
        with self._database.writing() as connection:
            self._delete(connection, batch)

    def adopt(self, owner: str, service: str, pipeline: str, but: Collection[str] = ()) -> list[OpenBatch]:
        """Look after the batches that nobody looks after; return them, oldest first.

        Args:
            owner: Who does from now on.
            service: Who was asked.
            pipeline: Whose they are.
            but: Ids of those that this program does look after, whatever the ledger says.
        """
        now = self._clock.wall()
        with self._database.writing() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS}, owner, good_until FROM provider_batches"
                " WHERE service = ? AND pipeline = ? ORDER BY made_at, id",
                (service, pipeline),
            )
            found = [
                OpenBatch(*columns)
                for *columns, other, until in rows
                if columns[0] not in but and is_void(other, until, now)
            ]
            connection.executemany(
                "UPDATE provider_batches SET owner = ?, good_until = ? WHERE id = ?",
                [(owner, now + LEASE_S, batch.id) for batch in found],
            )
        return found

    def known(self) -> set[str]:
        """Return the ids of all batches that have not ended."""
        with self._database.reading() as connection:
            return {name for (name,) in connection.execute("SELECT id FROM provider_batches")}

    def provider_ids(self) -> set[str]:
        """Return the provider's names for all batches that have not ended."""
        with self._database.reading() as connection:
            query = "SELECT provider_id FROM provider_batches WHERE provider_id != ''"
            return {name for (name,) in connection.execute(query)}

    def give_up(self, pipeline: str) -> int:
        """Have the batches of a pipeline cancelled by whoever looks after them; return how many there are."""
        with self._database.writing(durable=True) as connection:
            return connection.execute(
                "UPDATE provider_batches SET unwanted = 1 WHERE pipeline = ?", (pipeline,)
            ).rowcount

    def unwanted(self, batch: str) -> bool:
        """Return whether a batch is to be cancelled."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT unwanted FROM provider_batches WHERE id = ?", (batch,)).fetchone()
            return row is not None and bool(row[0])

    def release(self, batch: str) -> None:
        """Look after a batch no more."""
        with self._database.writing() as connection:
            connection.execute("UPDATE provider_batches SET good_until = 0 WHERE id = ?", (batch,))

    def holding(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """Return the batches that hold some requests, by key."""
        found: dict[bytes, str] = {}
        with self._database.reading() as connection:
            for chunk, marks in _chunks(keys):
                query = f"SELECT key, batch FROM batch_lines WHERE key IN ({marks})"
                found.update(connection.execute(query, chunk))
        return found

    def _insert(self, connection: sqlite3.Connection, owner: str, batch: OpenBatch) -> None:
        now = self._clock.wall()
        made = batch._replace(made_at=batch.made_at or now)
        marks = ", ".join("?" * (len(made) + 2))
        connection.execute(
            f"INSERT INTO provider_batches ({_COLUMNS}, owner, good_until) VALUES ({marks})",
            (*made, owner, now + LEASE_S),
        )

    @staticmethod
    def _delete(connection: sqlite3.Connection, batch: str) -> None:
        connection.execute("DELETE FROM batch_lines WHERE batch = ?", (batch,))
        connection.execute("DELETE FROM provider_batches WHERE id = ?", (batch,))


def _chunks(keys: Iterable[bytes]) -> Iterator[tuple[list[bytes], str]]:
    iterator = iter(keys)
    while chunk := list(islice(iterator, _AT_ONCE)):
        yield chunk, ",".join("?" * len(chunk))
