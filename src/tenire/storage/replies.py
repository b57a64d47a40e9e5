"""What models answered, by request; who asks them right now; and what it cost, in one commit.

::

    begin ──► Kept          there is a reply
          ├─► CLAIMED       the caller makes the call, then comes to ``finish``
          ├─► ALSO_IN_BATCH the same, and a batch that is not back yet asks for it too
          └─► UNDER_WAY     another program makes it: ask again

1. A reply and what it cost are written together, and survive a power cut from then on.
2. A request is claimed by one owner at a time, over all programs that use this home. A
   claim ends with ``finish``, or with its owner (``owners``).
3. Replies take no more than some bytes: those used longest ago go first. The time of use
   is exact to ``_USE_S``, so that reading writes nothing most of the time.
4. What has a time to come was kept before the clock was set back. How old it is nobody knows:
   it ages from when that is seen, so that it neither stays new for years nor is paid twice.
"""

from __future__ import annotations

from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from tenire.storage.owners import LEASE_S, is_void
from tenire.storage.spending import Charge, add_charges, drop_expected

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from tenire.clock import Clock
    from tenire.storage.database import Database

__all__ = ["Began", "Finished", "Kept", "ReplyTable", "Wanted"]

_AT_ONCE = 500
_USE_S = 3600.0
_ROW_BYTES = 120  # of a row and its places in two indexes, beside key and reply
_TRIM_TO = 0.9


class Began(Enum):
    """What ``begin`` found where there is no reply."""

    CLAIMED = "claimed"
    ALSO_IN_BATCH = "claimed, and in a batch"
    UNDER_WAY = "under way"

    @property
    def is_claim(self) -> bool:
        """Whether the caller is the one who makes the call."""
        return self is not Began.UNDER_WAY


class Kept(NamedTuple):
    """A reply that is kept.

    Attributes:
        reply: Its bytes.
        made_at: Seconds since the epoch.
    """

    reply: bytes
    made_at: float


class Wanted(NamedTuple):
    """A request that somebody wants to have answered.

    Attributes:
        key: Of the request.
        made_after: Seconds since the epoch; an older reply does not count.
    """

    key: bytes
    made_after: float = 0.0


class Finished(NamedTuple):
    """A request that needs no more calls.

    Attributes:
        key: Of the request, or ``None`` if only the charges count.
        reply: Its bytes, or ``None`` if there is none to keep.
        charges: What it cost.
        expected: Numbers of what it was expected to cost (``SpendingTable.expect``): these charges stand for that.
    """

    key: bytes | None
    reply: bytes | None
    charges: Sequence[Charge] = ()
    expected: Sequence[int] = ()


class ReplyTable:
    """The tables ``replies`` and ``flights``."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._bytes: int | None = None  # as last counted, and what was added since

    def begin(self, owner: str, wanted: Sequence[Wanted]) -> list[Kept | Began]:
        """Look up requests, and claim those that nobody has answered.

        Args:
            owner: Who will make the calls.
            wanted: The requests; each key at most once.

        Returns:
            What was found, in the order of ``wanted``.
        """
        now = self._clock.wall()
        with self._database.reading() as connection:
            kept, used = self._find(connection, wanted, now)
        missing = [want for want in wanted if want.key not in kept]
        if not missing and not used:
            return [kept[want.key] for want in wanted]
        claimed: set[bytes] = set()
        with self._database.writing() as connection:
            # Once more: another program may have come between.
            kept.update(self._find(connection, missing, now)[0])
            query = "UPDATE replies SET used_at = ?1, made_at = min(made_at, ?1) WHERE key = ?2"
            connection.executemany(query, [(now, key) for key in used])
            for key, _ in missing:
                if key not in kept and _is_free(connection, key, now):
                    claimed.add(key)
            in_batch = {key for key in claimed if _is_in_batch(connection, key)}
            connection.executemany(
                "INSERT OR REPLACE INTO flights VALUES (?, ?, ?)", [(key, owner, now + LEASE_S) for key in claimed]
            )
        others = dict.fromkeys((key for key, _ in missing), Began.UNDER_WAY)
        others |= dict.fromkeys(claimed, Began.CLAIMED) | dict.fromkeys(in_batch, Began.ALSO_IN_BATCH)
        return [kept.get(key) or others[key] for key, _ in wanted]

    def find(self, keys: Iterable[bytes]) -> dict[bytes, Kept]:
        """Return the replies that are kept, by key."""
        now = self._clock.wall()
        with self._database.reading() as connection:
            return self._find(connection, [Wanted(key) for key in keys], now)[0]

    def finish(self, owner: str, finished: Sequence[Finished]) -> None:
        """Keep replies and charges, and give up the claims; durable once this returns."""
        now = self._clock.wall()
        rows = [(key, reply, now, now) for key, reply, *_ in finished if key is not None and reply is not None]
        charges = [charge for one in finished for charge in one.charges]
        durable = bool(rows or charges)
        with self._database.writing(durable=durable) as connection:
            connection.executemany("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?)", rows)
            connection.executemany(
                "DELETE FROM flights WHERE key = ? AND owner = ?",
                [(one.key, owner) for one in finished if one.key is not None],
            )
            add_charges(connection, charges, now)
            drop_expected(connection, owner, (number for one in finished for number in one.expected))
        if self._bytes is not None:
            self._bytes += sum(len(key) + len(reply) + _ROW_BYTES for key, reply, _, _ in rows)

    def mend_times(self) -> None:
        """Take replies with a time to come for made and used now; cheap where there are none."""
        latest = (now := self._clock.wall()) + _USE_S
        with self._database.reading() as connection:
            row = connection.execute("SELECT 1 FROM replies WHERE used_at > ? LIMIT 1", (latest,)).fetchone()
        if row is None:
            return
        with self._database.writing() as connection:
            query = "UPDATE replies SET used_at = ?1, made_at = min(made_at, ?1) WHERE used_at > ?2"
            connection.execute(query, (now, latest))

    def renew(self, owner: str) -> None:
        """Move on the claims, the batches, what may be spent and what is expected to be, of an owner that lives."""
        until = self._clock.wall() + LEASE_S
        with self._database.writing() as connection:
            for table in ("flights", "spending_holds", "expected_charges", "provider_batches"):
                connection.execute(f"UPDATE {table} SET good_until = ? WHERE owner = ?", (until, owner))

    def release(self, owner: str) -> None:
        """Give up all claims of an owner."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM flights WHERE owner = ?", (owner,))

    def drop(self, keys: Iterable[bytes]) -> None:
        """Forget the replies to some requests; unknown ones are ignored."""
        if not (keys := list(keys)):
            return
        with self._database.writing() as connection:
            connection.executemany("DELETE FROM replies WHERE key = ?", [(key,) for key in keys])
        self._bytes = None

    def count(self) -> int:
        """Return how many replies are kept."""
        with self._database.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM replies").fetchone()[0])

    def size(self) -> int:
        """Return about how many bytes the replies take; what other programs add is seen by ``trim``."""
        if self._bytes is None:
            with self._database.reading() as connection:
                query = "SELECT coalesce(sum(length(key) + length(reply) + ?), 0) FROM replies"
                self._bytes = int(connection.execute(query, (_ROW_BYTES,)).fetchone()[0])
        return self._bytes

    def grown(self, replies: int, size: int) -> None:
        """Take in that so many replies were kept in another way, with so many bytes of keys and replies."""
        if self._bytes is not None:
            self._bytes += size + replies * _ROW_BYTES

    def trim(self, most: int) -> int:
        """Forget the replies used longest ago until all take less than ``most`` bytes; return how many went.

        Cheap where there is nothing to do: asked after each commit, it bounds also what many
        short programs keep, each of them a few replies.
        """
        if self._bytes is None and self._pages() <= most:
            return 0  # to count replies takes a walk over all of them
        if self.size() <= most:
            return 0
        self._bytes = None
        excess = self.size() - int(most * _TRIM_TO)
        if excess <= 0:
            return 0
        gone: list[tuple[int]] = []
        with self._database.writing() as connection:
            # Not to the brim, or the next reply would bring the next search.
            rows = connection.execute("SELECT rowid, length(key) + length(reply) FROM replies ORDER BY used_at")
            for number, size in rows:
                gone.append((number,))
                excess -= size + _ROW_BYTES
                if excess <= 0:
                    break
            connection.executemany("DELETE FROM replies WHERE rowid = ?", gone)
        self._bytes = None
        return len(gone)

    def _pages(self) -> int:
        """Return the bytes that the ledger uses, for replies and all else."""
        with self._database.reading() as connection:
            query = (
                "SELECT (page_count - freelist_count) * page_size"
                " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
            )
            return int(connection.execute(query).fetchone()[0])

    def _find(
        self, connection: sqlite3.Connection, wanted: Iterable[Wanted], now: float
    ) -> tuple[dict[bytes, Kept], list[bytes]]:
        """Return the replies that count, and the keys of those whose times are to be set."""
        found: dict[bytes, Kept] = {}
        used = []
        iterator = iter(wanted)
        while chunk := dict(islice(iterator, _AT_ONCE)):
            marks = ",".join("?" * len(chunk))
            query = f"SELECT key, reply, made_at, used_at FROM replies WHERE key IN ({marks})"
            for key, reply, made_at, used_at in connection.execute(query, list(chunk)):
                if (counts_as := min(made_at, now)) >= chunk[key]:
                    found[key] = Kept(reply, counts_as)
                    if abs(now - used_at) > _USE_S or made_at - now > _USE_S:
                        used.append(key)
        return found, used


def _is_in_batch(connection: sqlite3.Connection, key: bytes) -> bool:
    return connection.execute("SELECT 1 FROM batch_lines WHERE key = ?", (key,)).fetchone() is not None


def _is_free(connection: sqlite3.Connection, key: bytes, now: float) -> bool:
    row = connection.execute("SELECT owner, good_until FROM flights WHERE key = ?", (key,)).fetchone()
    return row is None or is_void(row[0], row[1], now)
