"""What stages made of items, kept so that they need not do it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tenire.storage.database import Database
    from tenire.storage.records import Run

__all__ = ["StageResultTable"]


class StageResultTable:
    """The table ``stage_results``: one entry for an item and a stage of its pipeline, the newest one.

    It says what it was made from, so what an older item, or another stage, has made is not
    taken for it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def any(self, pipeline: str) -> bool:
        """Return whether anything is kept for a pipeline."""
        with self._database.reading() as connection:
            found = connection.execute("SELECT 1 FROM stage_results WHERE pipeline = ? LIMIT 1", (pipeline,))
            return found.fetchone() is not None

    def get(self, pipeline: str, wanted: Mapping[str, str], *, stage: int) -> dict[str, bytes]:
        """Return what a stage made of items.

        Args:
            pipeline: The pipeline.
            wanted: What it has to be made from, by the item's key.
            stage: Number of the stage, from 1.

        Returns:
            Its lines by the item's key, as far as they are kept.
        """
        query = "SELECT output FROM stage_results WHERE pipeline = ? AND key = ? AND stage = ? AND made_from = ?"
        outputs: dict[str, bytes] = {}
        with self._database.reading() as connection:
            for key, made_from in wanted.items():
                row = connection.execute(query, (pipeline, key, stage, made_from)).fetchone()
                if row is not None:
                    outputs[key] = row[0]
        return outputs

    def put(self, pipeline: str, made: Iterable[tuple[str, str, bytes]], *, stage: int) -> None:
        """Keep what a stage made; what it made of the same items before goes.

        Args:
            pipeline: The pipeline.
            made: The item's key, what it was made from, and the lines.
            stage: Number of the stage, from 1.
        """
        with self._database.writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO stage_results (pipeline, key, stage, made_from, output) VALUES (?, ?, ?, ?, ?)",
                [(pipeline, key, stage, made_from, output) for key, made_from, output in made],
            )

    def forget_vanished(self, run: Run, *, stages: int) -> None:
        """Forget what belongs to no row of a run's pipeline, and what stages made that it does not have any more."""
        with self._database.writing() as connection:
            connection.execute(
                "DELETE FROM stage_results WHERE pipeline = ?1 AND (stage > ?2 OR NOT EXISTS"
                " (SELECT 1 FROM rows WHERE rows.pipeline = ?1 AND rows.key = stage_results.key))",
                (run.pipeline, stages),
            )
