"""What tasks of each name took, from one run to the next.

The scheduler's advice to itself: nothing is wrong if it is lost, so it is never
flushed to the disk, and what cannot be read counts as not there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tenire.core.history import NAMES
from tenire.storage.schema import has_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tenire.core.history import Row
    from tenire.storage.database import Database

__all__ = ["HistoryTable"]


class HistoryTable:
    """The table ``history``: one row a name, the one saved last with the highest id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self) -> list[Any]:
        """Return what was saved, oldest first, for ``History.from_rows``; that looks at each of them."""
        with self._database.reading() as connection:
            # A ledger that an older version made, and that no engine has opened since, has no such table.
            if not has_table(connection, "history"):
                return []
            found = connection.execute("SELECT facts FROM history ORDER BY id").fetchall()
        return [_decoded(facts) for (facts,) in found]

    def save(self, rows: Iterable[Row]) -> None:
        """Keep rows in place of earlier ones of the same names; of too many names the oldest are forgotten.

        Args:
            rows: The name that was recorded longest ago first.
        """
        encoded = [_encoded(row) for row in rows]
        with self._database.writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO history (name, facts) VALUES (?, ?)", encoded)
            connection.execute(
                "DELETE FROM history WHERE id <= (SELECT id FROM history ORDER BY id DESC LIMIT 1 OFFSET ?)", (NAMES,)
            )


def _encoded(row: Row) -> tuple[bytes, str]:
    version, name, count, failures, failing, seconds, sizes = row
    facts = [version, name, count, failures, failing, _rounded(seconds), _rounded(sizes)]
    # Names may hold file names, and those bytes that are not UTF-8: JSON escapes them, the key takes them as bytes.
    return name.encode("utf-8", "surrogatepass"), json.dumps(facts, separators=(",", ":"))


def _rounded(values: Sequence[float]) -> list[float]:
    """Return values with four digits: a third of the size, and nobody asks for more."""
    return [float(f"{value:.4g}") for value in values]


def _decoded(facts: Any) -> Any:
    try:
        return json.loads(facts)
    except (TypeError, ValueError, RecursionError):
        return None
