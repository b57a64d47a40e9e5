"""What all processes of a user have spent of each quota, and what they were lent of it.

A process does not ask for each call. It is lent some units for a moment, spends them as
it likes, and says when it comes again what became of them. What it was lent counts as
spent, at the moment at which the loan ends, until it has said so: when a process is
killed its loan wears off like everything spent, and nobody has to find out.

1. Spent and lent together never pass the limit within one window.
2. Times are those of the clock that never goes back, which is the same for all processes
   of a machine. A time that lies well ahead of it is from before the machine was started
   anew, and becomes now: nobody knows better, and a window later it is over.
3. What is not a rate (``window`` is ``None``) is lent until it is given back. It is lost
   with the process that had it: when that is gone, or was not heard of for a while.
4. A file that is damaged, or was deleted, is made anew; see ``shared_file``. Until a window has passed each
   process then knows only what it has spent itself. Each format has a file of its own.
5. Who has a limit keeps all within it. Who has none is kept within the one that was named last,
   by anybody, in the last hour, so that a metric is kept within its limit whoever knows that.

One SQLite file; every method is one short transaction, and blocks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from tenire.core.quota_loans import LOAN_S
from tenire.core.quota_shares import Participant, ahead, expected, free_at, granted, too_many
from tenire.core.rate_window import UNLIMITED
from tenire.core.slot_loans import SILENT_S
from tenire.storage.shared_file import SharedFile

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["Ask", "Loan", "QuotaFile"]

_SHORT_S = 2.0
"""For how long beyond the time at which it was to ask again one who got too little counts as short."""

_APPLICATION_ID = 0x544E5155  # "TNQU"
_NAME = "quotas-3.db"
_FROZEN_MOST_S = 86_400.0
_AGAIN_S = 0.2
_NAMED_S = 3600.0
"""For how long a limit holds for those who have none."""
_AGAIN_NAMED_S = 60.0
_AHEAD_S = 60.0
"""Who asks names the time before it waits for a thread and the file: others may have written later times since."""

_TABLES = (
    """CREATE TABLE spent (
        quota TEXT NOT NULL,
        metric TEXT NOT NULL,
        participant TEXT NOT NULL,
        at REAL NOT NULL,
        amount INTEGER NOT NULL
    )""",
    "CREATE INDEX spent_by_quota ON spent (quota, metric, at)",
    """CREATE TABLE loans (
        quota TEXT NOT NULL,
        metric TEXT NOT NULL,
        participant TEXT NOT NULL,
        pid INTEGER NOT NULL,
        weight REAL NOT NULL,
        seen_at REAL NOT NULL,
        short_until REAL NOT NULL,
        until REAL NOT NULL,
        amount INTEGER NOT NULL,
        lacking INTEGER NOT NULL,
        least INTEGER NOT NULL,
        PRIMARY KEY (quota, metric, participant)
    ) WITHOUT ROWID""",
    """CREATE TABLE limits (
        quota TEXT NOT NULL,
        metric TEXT NOT NULL,
        amount INTEGER NOT NULL,
        named_at REAL NOT NULL,
        PRIMARY KEY (quota, metric)
    ) WITHOUT ROWID""",
    """CREATE TABLE frozen (
        quota TEXT NOT NULL,
        metric TEXT NOT NULL,
        set_at REAL NOT NULL,
        until REAL NOT NULL,
        PRIMARY KEY (quota, metric)
    ) WITHOUT ROWID""",
)


@dataclass(frozen=True, slots=True)
class Ask:
    """What one participant says and wants of one metric.

    Attributes:
        limit: Units in one window, for all; ``None`` if the participant knows none (rule 5).
        window: Seconds after which what is spent is back, margin included; ``None`` for
            what is no rate.
        spent: When units were spent since it last said so, and how many; less than none where
            it had said too much.
        keep: Units of the loan that it has neither spent nor gives back.
        lacking: Units that it wants beside these, for all that waits.
        least: Units below which it is not helped.
        most: Units that it takes now at the most, or ``None``: what it does not take it is
            still short of.
        first: Units that the first in its row waits for, or 0.
    """

    limit: int | None
    window: float | None
    spent: Sequence[tuple[float, int]] = ()
    keep: int = 0
    lacking: int = 0
    least: int = 1
    most: int | None = None
    first: int = 0


@dataclass(frozen=True, slots=True)
class Loan:
    """What one participant got of one metric.

    Attributes:
        more: Units beside those that it keeps.
        until: When all of it ends.
        retry_at: When asking again may help, if it got less than it wanted.
        others: How many others were short or had something lately.
        frozen_until: Until when a server wants no calls, or 0.
        back: Units of what is no rate that it should give back as soon as it can.
        part: Units in a window that it may expect, others going on as they do; ``None`` if nobody knows a limit.
        first_at: When there may be enough for the first in its row, or 0: then nobody knows.
        elsewhere: Units that others spent within a window, or were lent.
    """

    more: int
    until: float
    retry_at: float | None = None
    others: int = 0
    frozen_until: float = 0.0
    back: int = 0
    part: int | None = None
    first_at: float = 0.0
    elsewhere: int = 0


@dataclass(slots=True)
class _Used:
    """What is known of one participant, while one question is answered."""

    units: int = 0
    row: Participant = field(default_factory=lambda: Participant(0))


class QuotaFile:
    """The file; from any thread, one call at a time.

    Args:
        directory: Where it is; made if it is not there.
        alive: Tells whether a process with this id is there.
    """

    def __init__(self, directory: Path, *, alive: Callable[[int], bool] = psutil.pid_exists) -> None:
        self._file = SharedFile(directory / _NAME, application_id=_APPLICATION_ID, tables=_TABLES)
        self._alive = alive

    def renew(
        self, quota: str, participant: str, asks: Mapping[str, Ask], *, now: float, weight: float = 1.0
    ) -> dict[str, Loan]:
        """Take in what was spent, and lend what may be had.

        Args:
            quota: Which quota.
            participant: Who asks; the same name always.
            asks: What it says and wants, by metric.
            now: Seconds on the clock that never goes back.
            weight: Its part against the others.

        Raises:
            StoreError: If the file cannot be used.
        """
        with self._file.writing() as connection:
            self._mend_times(connection, now)
            return {
                metric: self._renew(connection, (quota, metric, participant), ask, now, weight)
                for metric, ask in asks.items()
            }

    def freeze(self, quota: str, metric: str, until: float, *, now: float) -> None:
        """Have everybody leave a metric alone until some time.

        Args:
            quota: Which quota.
            metric: Which metric.
            until: Seconds on the clock that never goes back.
            now: Likewise.

        Raises:
            StoreError: If the file cannot be used.
        """
        with self._file.writing() as connection:
            self._mend_times(connection, now)
            connection.execute(
                "INSERT INTO frozen (quota, metric, set_at, until) VALUES (?1, ?2, ?3, ?4)"
                " ON CONFLICT (quota, metric) DO UPDATE SET set_at = ?3, until = max(until, ?4)",
                (quota, metric, now, until),
            )

    def used(self, quota: str, metric: str, *, now: float, window: float) -> int:
        """Return what all together spent within a window, or were lent.

        Raises:
            StoreError: If the file cannot be used.
        """
        with self._file.writing() as connection:
            found = self._known(connection, quota, metric, now, window)
            return sum(each.units for each in found.values())

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._file.close()

    # -- one metric -----------------------------------------------------------

    @staticmethod
    def _mend_times(connection: sqlite3.Connection, now: float) -> None:
        """Apply rule 2."""
        ahead = now + _AHEAD_S
        connection.execute("UPDATE spent SET at = ?1 WHERE at > ?2", (now, ahead))
        connection.execute("UPDATE loans SET seen_at = ?1, until = ?1, lacking = 0 WHERE seen_at > ?2", (now, ahead))
        connection.execute("UPDATE limits SET named_at = ?1 WHERE named_at > ?2", (now, ahead))
        # How long a server meant when it was another day is nobody's to tell: it says so again.
        connection.execute("DELETE FROM frozen WHERE set_at > ? OR until > ?", (ahead, now + _FROZEN_MOST_S))

    def _renew(
        self, connection: sqlite3.Connection, name: tuple[str, str, str], ask: Ask, now: float, weight: float
    ) -> Loan:
        quota, metric, participant = name
        connection.execute("DELETE FROM loans WHERE quota = ? AND metric = ? AND participant = ?", name)
        if ask.window is not None:
            connection.execute(
                "DELETE FROM spent WHERE quota = ? AND metric = ? AND at <= ?", (quota, metric, now - ask.window)
            )
            connection.executemany(
                "INSERT INTO spent (quota, metric, participant, at, amount) VALUES (?, ?, ?, ?, ?)",
                [(*name, at, amount) for at, amount in ask.spent if amount and at > now - ask.window],
            )
        known = self._known(connection, quota, metric, now, ask.window)
        mine = known.pop(participant, _Used())
        me = Participant(mine.units + ask.keep, ask.lacking, max(1, ask.least), weight)
        others = [Participant(each.units, each.row.lacking, each.row.least, each.row.weight) for each in known.values()]
        frozen_until = self._frozen(connection, quota, metric, now)
        limit = self._limit(connection, quota, metric, ask, now)
        more = 0 if now < frozen_until else granted(limit, me, others)
        if ask.most is not None:
            more = min(more, ask.most)
        lacking = ask.lacking - more
        until = now + (LOAN_S if ask.window is not None else SILENT_S)
        retry_at = None
        if lacking > 0 and (ask.most is None or more < ask.most):
            room = limit - me.used - more - sum(other.used for other in others)
            need = min(ask.least, lacking) - max(0, room)  # none: what there is, is kept for somebody else
            retry_at = frozen_until
            if need > 0 or now >= frozen_until:
                coming = self._coming(connection, quota, metric, now, ask.window, max(1, need))
                retry_at = max(frozen_until, coming)
        first_at = 0.0
        if ask.window is not None and ask.first > ask.keep + more:
            room = limit - me.used + ask.keep - sum(other.used for other in others)
            need = ask.first + ahead(me, others) - room
            if need > 0:
                first_at = free_at(need, self._returns(connection, quota, metric, ask.window)) or 0.0
        if ask.keep + more or lacking:
            short_until = max(now, retry_at or now) + _SHORT_S
            row = (now, short_until, until, ask.keep + more, lacking, max(1, ask.least))
            connection.execute(
                "INSERT INTO loans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*name, os.getpid(), weight, *row)
            )
        back = too_many(limit, me, others) if ask.window is None else 0
        part = None if ask.window is None or limit == UNLIMITED else expected(limit, me, others)
        active = sum(1 for each in others if each.used or each.lacking)
        elsewhere = sum(other.used for other in others)
        return Loan(more, until, retry_at, active, frozen_until, back, part, first_at, elsewhere)

    @staticmethod
    def _limit(connection: sqlite3.Connection, quota: str, metric: str, ask: Ask, now: float) -> int:
        """Return within how many units all are to be kept, and note what is named (rule 5)."""
        if ask.window is None and ask.limit is not None:
            return ask.limit
        query = "SELECT amount, named_at FROM limits WHERE quota = ? AND metric = ?"
        row = connection.execute(query, (quota, metric)).fetchone()
        if ask.limit is None:
            # One call that is larger goes once nothing counts: or it would wait for ever.
            return UNLIMITED if row is None or row[1] <= now - _NAMED_S else max(row[0], ask.least)
        if row is None or row[0] != ask.limit or row[1] <= now - _AGAIN_NAMED_S:
            named = (quota, metric, ask.limit, now)
            connection.execute("INSERT OR REPLACE INTO limits VALUES (?, ?, ?, ?)", named)
        return ask.limit

    def _known(
        self, connection: sqlite3.Connection, quota: str, metric: str, now: float, window: float | None
    ) -> dict[str, _Used]:
        """Return what each participant has used, and what those lack who were heard of lately."""
        known: dict[str, _Used] = {}
        if window is not None:
            spent = connection.execute(
                "SELECT participant, sum(amount) FROM spent WHERE quota = ? AND metric = ? AND at > ? GROUP BY 1",
                (quota, metric, now - window),
            )
            for participant, amount in spent:
                known[participant] = _Used(amount)
        rows = connection.execute(
            "SELECT participant, pid, weight, seen_at, short_until, until, amount, lacking, least FROM loans"
            " WHERE quota = ? AND metric = ?",
            (quota, metric),
        ).fetchall()
        for participant, pid, weight, seen_at, short_until, until, amount, lacking, least in rows:
            if not self._counts(pid, seen_at, until, now, window):
                connection.execute(
                    "DELETE FROM loans WHERE quota = ? AND metric = ? AND participant = ?",
                    (quota, metric, participant),
                )
                continue
            each = known.setdefault(participant, _Used())
            each.units += amount
            each.row = Participant(each.units, lacking if now < short_until else 0, least, weight)
        return known

    def _counts(self, pid: int, seen_at: float, until: float, now: float, window: float | None) -> bool:
        """Return whether a loan still counts."""
        if window is not None:
            return until > now - window
        return until > now and (now - seen_at < _SHORT_S or self._alive(pid))

    @staticmethod
    def _returns(connection: sqlite3.Connection, quota: str, metric: str, window: float) -> list[tuple[float, int]]:
        """Return when what is spent, or lent, will have come back, and how much of it."""
        found = connection.execute(
            "SELECT at, amount FROM spent WHERE quota = ?1 AND metric = ?2"
            " UNION ALL SELECT until, amount FROM loans WHERE quota = ?1 AND metric = ?2 AND amount > 0",
            (quota, metric),
        )
        return [(at + window, amount) for at, amount in found]

    @classmethod
    def _coming(
        cls, connection: sqlite3.Connection, quota: str, metric: str, now: float, window: float | None, need: int
    ) -> float:
        """Return when so much may have come back."""
        loans = connection.execute(
            "SELECT until FROM loans WHERE quota = ? AND metric = ? AND amount > 0", (quota, metric)
        )
        returns = [until for (until,) in loans if until > now]  # or they end, and may be given back unspent
        if window is None:
            return float(min([*returns, now + _AGAIN_S]))  # or some call ends: nobody knows when
        at = free_at(need, cls._returns(connection, quota, metric, window))
        if at is not None:
            returns.append(at)
        return float(min(returns, default=now))

    @staticmethod
    def _frozen(connection: sqlite3.Connection, quota: str, metric: str, now: float) -> float:
        row = connection.execute("SELECT until FROM frozen WHERE quota = ? AND metric = ?", (quota, metric)).fetchone()
        if row is None:
            return 0.0
        if row[0] <= now:
            connection.execute("DELETE FROM frozen WHERE quota = ? AND metric = ?", (quota, metric))
            return 0.0
        return float(row[0])
