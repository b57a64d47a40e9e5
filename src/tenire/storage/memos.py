"""Results of stages that need not be computed twice."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tenire.clock import Clock
    from tenire.storage.database import Database

__all__ = ["MemoTable"]

_AT_ONCE = 500


class MemoTable:
    """The table ``memos``: output bytes by recipe hash and input hash.

    A changed prompt or model has another recipe hash and so finds nothing old.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, recipe: str, inputs: Iterable[str]) -> dict[str, bytes]:
        """Return the outputs that are known for a recipe, by input."""
        outputs: dict[str, bytes] = {}
        iterator = iter(inputs)
        with self._database.reading() as connection:
            while chunk := list(islice(iterator, _AT_ONCE)):
                marks = ",".join("?" * len(chunk))
                query = f"SELECT input, output FROM memos WHERE recipe = ? AND input IN ({marks})"
                outputs.update(connection.execute(query, [recipe, *chunk]))
        return outputs

    def any(self, recipe: str) -> bool:
        """Return whether anything is known for a recipe."""
        with self._database.reading() as connection:
            return connection.execute("SELECT 1 FROM memos WHERE recipe = ? LIMIT 1", (recipe,)).fetchone() is not None

    def drop(self, recipe: str, inputs: Iterable[str]) -> None:
        """Forget the outputs of a recipe for some inputs; unknown ones are ignored."""
        with self._database.writing() as connection:
            connection.executemany(
                "DELETE FROM memos WHERE recipe = ? AND input = ?", [(recipe, key) for key in inputs]
            )

    def clear(self) -> None:
        """Forget everything."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM memos")

    def put(self, recipe: str, outputs: Mapping[str, bytes], *, durable: bool = False) -> None:
        """Keep outputs of a recipe, by input; an older output of the same input is replaced.

        Args:
            recipe: Hash of the recipe.
            outputs: Output by hash of the input.
            durable: Survive a power cut: for what was paid for.
        """
        now = self._clock.wall()
        with self._database.writing(durable=durable) as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO memos (recipe, input, output, created_at) VALUES (?, ?, ?, ?)",
                [(recipe, key, output, now) for key, output in outputs.items()],
            )
