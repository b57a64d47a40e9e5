"""How many passages hold a word, remembered as long as the text index stays what it is.

To count up to some thousand passages takes SQLite half a millisecond, and the words for which
it takes that long are the ones that queries have in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

__all__ = ["WordCounts"]

_MOST = 10_000  # words, some 100 bytes each


class WordCounts:
    """What was counted in one text index; threads may share it."""

    def __init__(self) -> None:
        self._seen: tuple[sqlite3.Connection, int] | None = None
        self._counts: dict[str, int] = {}

    def of(self, connection: sqlite3.Connection) -> dict[str, int]:
        """Return the counts of the state that a connection sees, to read and to add to.

        Args:
            connection: In a transaction, and never one that writes: SQLite numbers only what others have changed.
        """
        # The number says nothing about another connection, so that is part of what was seen. A caller
        # adds to the counts that it was given, whatever another one has been given since.
        seen = (connection, int(connection.execute("PRAGMA data_version").fetchone()[0]))
        if self._seen != seen or len(self._counts) >= _MOST:
            self._seen, self._counts = seen, {}
        return self._counts

    def forget(self) -> None:
        """Forget all counts."""
        self._seen, self._counts = None, {}
