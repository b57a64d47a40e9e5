"""When each pipeline ran, and what came of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tenire.storage.records import Run, RunRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.clock import Clock
    from tenire.storage.database import Database

__all__ = ["RunTable"]

_KEPT = 100


class RunTable:
    """The table ``runs``: the last hundred runs of each pipeline."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def start(self, pipeline: str, *, recipe: str = "") -> Run:
        """Begin a run.

        Args:
            pipeline: The pipeline's name.
            recipe: Identity of what it does to a source. A source that was done
                under another recipe counts as changed.
        """
        now = self._clock.wall()
        with self._database.writing() as connection:
            watermark = connection.execute("SELECT coalesce(max(id), 0) FROM sources").fetchone()[0]
            number = connection.execute(
                "INSERT INTO runs (pipeline, state, started_at, totals) VALUES (?, 'running', ?, '{}')",
                (pipeline, now),
            ).lastrowid
        return Run(int(number or 0), pipeline, recipe, now, watermark)

    def finish(self, run: Run, state: str, totals: Mapping[str, Any]) -> None:
        """End a run and forget what it has seen.

        Args:
            run: The run.
            state: ``done``, ``failed`` or ``cancelled``.
            totals: Its counters; anything that JSON can hold.
        """
        with self._database.writing() as connection:
            connection.execute("DELETE FROM temp.seen WHERE run = ?", (run.id,))
            connection.execute(
                "UPDATE runs SET state = ?, finished_at = ?, totals = ? WHERE id = ?",
                (state, self._clock.wall(), json.dumps(dict(totals)), run.id),
            )
            connection.execute(
                "DELETE FROM runs WHERE pipeline = ?1 AND id <="
                " (SELECT id FROM runs WHERE pipeline = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                (run.pipeline, _KEPT),
            )

    def mark_interrupted(self) -> int:
        """Call every run that did not finish interrupted; only right while no run goes on.

        Returns:
            How many there were.
        """
        with self._database.writing() as connection:
            return connection.execute("UPDATE runs SET state = 'interrupted' WHERE state = 'running'").rowcount

    def last(self) -> dict[str, RunRow]:
        """Return the last run of each pipeline."""
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT id, pipeline, state, started_at, finished_at, totals FROM runs"
                " WHERE id IN (SELECT max(id) FROM runs GROUP BY pipeline) ORDER BY pipeline"
            ).fetchall()
        return {
            pipeline: RunRow(number, pipeline, state, started_at, finished_at, json.loads(totals))
            for number, pipeline, state, started_at, finished_at, totals in found
        }
