"""What calls of models cost: sums a day, a pipeline and a model, and what may be spent yet.

Money is in whole picodollars (10⁻¹² US dollars): every price of a token is a whole number
of them, so that sums are exact, and nine million dollars fit into a column.

A call is expected to cost something before it is sent, and what it did cost is recorded
with its reply. What a program expected that was killed was perhaps paid: nobody can tell,
so it counts as spent, as a guess, once its owner is gone (``owners``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from tenire.storage.owners import LEASE_S, is_gone, is_void

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from tenire.clock import Clock
    from tenire.storage.database import Database

__all__ = ["Charge", "Hold", "SpendingTable", "Spent", "add_charges", "drop_expected"]


class Charge(NamedTuple):
    """What one call cost.

    Attributes:
        pipeline: Whose call it was.
        model: The model that was called.
        input_tokens: Of the prompt.
        cached_tokens: Of these, those that the provider had cached.
        output_tokens: Of the reply.
        reasoning_tokens: Of these, those that nobody sees.
        cost: Picodollars; 0 if the price is not known.
        guessed: Of these, picodollars that nobody has confirmed: the call broke off, or its program was killed.
    """

    pipeline: str
    model: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost: int
    guessed: int


@dataclass(frozen=True, slots=True)
class Spent:
    """Sums over calls.

    Attributes:
        calls: Calls that a provider charges for.
        input_tokens: Of their prompts.
        cached_tokens: Of these, those that the provider had cached.
        output_tokens: Of their replies.
        reasoning_tokens: Of these, those that nobody sees.
        cost: Picodollars.
        guessed: Of these, picodollars that nobody has confirmed.
    """

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int = 0
    guessed: int = 0


class Hold(NamedTuple):
    """What ``SpendingTable.hold`` found.

    Attributes:
        held: Picodollars that the owner may spend now.
        spent: Picodollars that were spent in this home, by anybody.
        elsewhere: Picodollars that other owners hold, or batches that nobody looks after.
        guessed: Picodollars of what was spent that nobody has confirmed.
    """

    held: int
    spent: int
    elsewhere: int
    guessed: int = 0


_SUMS = [field.name for field in fields(Spent)]


class SpendingTable:
    """The tables ``spending``, ``expected_charges`` and ``spending_holds``."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, charges: Iterable[Charge]) -> None:
        """Record what calls cost, to survive a power cut."""
        with self._database.writing(durable=True) as connection:
            add_charges(connection, charges, self._clock.wall())

    def expect(self, owner: str, charges: Mapping[int, Charge]) -> None:
        """Take in what calls are going to cost that are about to be sent; kept when the program is killed.

        Args:
            owner: Who makes them.
            charges: By numbers of the owner's.
        """
        until = self._clock.wall() + LEASE_S
        with self._database.writing() as connection:
            connection.executemany(
                "INSERT INTO expected_charges VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (owner, number, one.pipeline, one.model, one.input_tokens, one.output_tokens, one.cost, until)
                    for number, one in charges.items()
                ],
            )

    def withdraw(self, owner: str, numbers: Iterable[int]) -> None:
        """Take in that calls are not going to cost anything."""
        with self._database.writing() as connection:
            drop_expected(connection, owner, numbers)

    def settle_lost(self) -> Spent:
        """Charge what programs that are gone had expected, as a guess; return it."""
        now = self._clock.wall()
        with self._database.reading() as connection:
            if not _lost(connection, now):
                return Spent()
        with self._database.writing(durable=True) as connection:
            return _charge_all(connection, _lost(connection, now), now)

    def lost_by_pipeline(self) -> dict[str, int]:
        """Return what ``settle_lost`` would charge by now, picodollars by pipeline; charges nothing."""
        costs: dict[str, int] = {}
        with self._database.reading() as connection:
            if not _there(connection, "expected_charges"):
                return costs
            query = "SELECT pipeline, sum(cost) FROM expected_charges WHERE owner = ? GROUP BY pipeline"
            for owner in _lost(connection, self._clock.wall()):
                for pipeline, cost in connection.execute(query, (owner,)):
                    costs[pipeline] = costs.get(pipeline, 0) + cost
        return costs

    def by_pipeline(self) -> dict[str, Spent]:
        """Return what each pipeline has spent in this home."""
        with self._database.reading() as connection:
            if not _there(connection):
                return {}
            sums = ", ".join(f"sum({name})" for name in _SUMS)
            found = connection.execute(f"SELECT pipeline, {sums} FROM spending GROUP BY pipeline ORDER BY pipeline")
            return {name: Spent(*row) for name, *row in found}

    def total(self) -> Spent:
        """Return what was spent in this home."""
        with self._database.reading() as connection:
            return _total(connection) if _there(connection) else Spent()

    def hold(self, owner: str, wanted: int, *, least: int, keep: int, limit: int) -> Hold:
        """Have ``wanted`` picodollars kept for an owner, in place of what it holds.

        If there is less, it gets all there is; if that is less than ``least``, it holds
        ``keep`` from then on. What is spent and held by all stays within ``limit``.

        Args:
            owner: From ``owners.new_owner``.
            wanted: Picodollars.
            least: Picodollars below which more is of no use.
            keep: Picodollars that it needs in any case, out of what it holds.
            limit: Picodollars that may be spent in this home.
        """
        now = self._clock.wall()
        with self._database.writing() as connection:
            elsewhere, void = 0, []
            rows = connection.execute("SELECT owner, cost, good_until FROM spending_holds WHERE owner != ?", (owner,))
            for name, cost, good_until in rows:
                if is_void(name, good_until, now):
                    void.append((name,))
                else:
                    elsewhere += cost
            connection.executemany("DELETE FROM spending_holds WHERE owner = ?", void)
            elsewhere += _batches_alone(connection, now)
            _charge_all(connection, _lost(connection, now), now)
            total = _total(connection)
            free = limit - total.cost - elsewhere
            held = min(wanted, free) if free >= least else keep
            connection.execute("INSERT OR REPLACE INTO spending_holds VALUES (?, ?, ?)", (owner, held, now + LEASE_S))
        return Hold(held, total.cost, elsewhere, total.guessed)

    def release(self, owner: str) -> None:
        """Give back what an owner holds, and charge what it expected and has not accounted for."""
        with self._database.writing() as connection:
            _charge_all(connection, [owner], self._clock.wall())
            connection.execute("DELETE FROM spending_holds WHERE owner = ?", (owner,))


def drop_expected(connection: sqlite3.Connection, owner: str, numbers: Iterable[int]) -> None:
    """Expect no more what calls were going to cost, as a part of a transaction: that is known now."""
    rows = [(owner, number) for number in numbers]
    connection.executemany("DELETE FROM expected_charges WHERE owner = ? AND number = ?", rows)


def add_charges(connection: sqlite3.Connection, charges: Iterable[Charge], now: float) -> None:
    """Add charges to the sums, as a part of a transaction.

    Args:
        connection: With a transaction that writes.
        charges: What calls cost.
        now: Seconds since the epoch.
    """
    sums: dict[tuple[str, str], list[int]] = {}
    for pipeline, model, *numbers in charges:
        before = sums.setdefault((pipeline, model), [0] * len(_SUMS))
        for place, number in enumerate((1, *numbers)):
            before[place] += number
    day = datetime.fromtimestamp(now, UTC).date().isoformat()
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)
    marks = ", ".join("?" * (3 + len(_SUMS)))
    connection.executemany(
        f"INSERT INTO spending (day, pipeline, model, {', '.join(_SUMS)}) VALUES ({marks})"
        f" ON CONFLICT (day, pipeline, model) DO UPDATE SET {added}",
        [(day, *key, *numbers) for key, numbers in sums.items()],
    )


def _total(connection: sqlite3.Connection) -> Spent:
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in _SUMS)
    return Spent(*connection.execute(f"SELECT {sums} FROM spending").fetchone())


def _lost(connection: sqlite3.Connection, now: float) -> list[str]:
    """Return who is gone and expected something."""
    found = connection.execute("SELECT owner, max(good_until) FROM expected_charges GROUP BY owner")
    return [owner for owner, good_until in found.fetchall() if is_gone(owner, good_until, now)]


def _charge_all(connection: sqlite3.Connection, owners: Iterable[str], now: float) -> Spent:
    """Charge all that some owners expected, as a part of a transaction."""
    calls = tokens_in = tokens_out = cost = 0
    columns = "pipeline, model, input_tokens, output_tokens, cost"
    for owner in owners:
        rows = connection.execute(f"SELECT {columns} FROM expected_charges WHERE owner = ?", (owner,)).fetchall()
        charges = [Charge(pipeline, model, sent, 0, back, 0, most, most) for pipeline, model, sent, back, most in rows]
        add_charges(connection, charges, now)
        connection.execute("DELETE FROM expected_charges WHERE owner = ?", (owner,))
        calls += len(charges)
        tokens_in += sum(one.input_tokens for one in charges)
        tokens_out += sum(one.output_tokens for one in charges)
        cost += sum(one.cost for one in charges)
    return Spent(calls, tokens_in, 0, tokens_out, 0, cost, cost)


def _batches_alone(connection: sqlite3.Connection, now: float) -> int:
    """Return the most that batches can cost that nobody looks after: what they do cost is charged later."""
    rows = connection.execute("SELECT held, owner, good_until FROM provider_batches WHERE held > 0")
    return sum(held for held, owner, good_until in rows if is_void(owner, good_until, now))


def _there(connection: sqlite3.Connection, table: str = "spending") -> bool:
    # A ledger that an older version made, and that nothing has written to since, has no such table.
    query = "SELECT count(*) FROM sqlite_master WHERE name = ?"
    return bool(connection.execute(query, (table,)).fetchone()[0])
