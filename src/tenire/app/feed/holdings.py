"""What a home holds, read from its ledger: what the feed shows besides the engine, and in its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tenire.app.feed.view import MOST_ITEMS, Quarantined
from tenire.app.published import PublishedPipeline
from tenire.pipeline.progress import PipelineProgress
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.app.published import Published
    from tenire.storage.home import Home
    from tenire.storage.records import RunRow

__all__ = ["Holdings", "read_holdings"]

_ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a home holds.

    Attributes:
        documents: Documents.
        passages: Passages.
        quarantined: Entries of the quarantine.
        quarantine: The newest of them.
        pipelines: The last run of each pipeline.
        ended_at: When it ended, seconds since the epoch; not of those that did not.
    """

    documents: int = 0
    passages: int = 0
    quarantined: int = 0
    quarantine: tuple[Quarantined, ...] = ()
    pipelines: Mapping[str, PublishedPipeline] = field(default_factory=dict)
    ended_at: Mapping[str, float] = field(default_factory=dict)

    def after(self, engine: Published | None) -> dict[str, PublishedPipeline]:
        """Return the last run of each pipeline, now that no engine runs any more.

        What the engine told last stays, unless the ledger knows of a later end. Of a run that was killed
        the ledger has no totals, and nothing at all if it had only just begun, or waited for another.

        Args:
            engine: What the last engine told last, or ``None`` if there was none.
        """
        pipelines = dict(self.pipelines)
        if engine is not None:
            for name, told in engine.pipelines.items():
                known = self.ended_at.get(name, float("-inf")) >= engine.at
                # What it takes in while it watches are runs of their own: all of them have ended.
                if not known and told.state != "watching":
                    pipelines[name] = _left(told)
        return pipelines


def read_holdings(home: Home, *, running: bool) -> Holdings:
    """Return what a home holds; blocks.

    Args:
        home: The home.
        running: Whether an engine runs there; if not, what the ledger calls running was interrupted.

    Raises:
        StoreError: If its ledger cannot be read.
    """
    if not Ledger.exists(home):
        return Holdings()
    with Ledger.read(home) as ledger:
        totals = ledger.totals()
        entries = ledger.quarantine.entries(newest=MOST_ITEMS)
    quarantine = tuple(
        Quarantined(
            entry.id, entry.pipeline, entry.source, entry.stage, entry.error, entry.attempts, entry.at, entry.retrying
        )
        for entry in entries
    )
    pipelines = {name: _ended(name, run, running=running) for name, run in totals.pipelines.items()}
    ended_at = {name: run.finished_at for name, run in totals.pipelines.items() if run.finished_at is not None}
    return Holdings(totals.documents, totals.chunks, totals.quarantined, quarantine, pipelines, ended_at)


def _left(told: PublishedPipeline) -> PublishedPipeline:
    totals = {**told.totals, "state": told.state if told.state in _ENDED else "interrupted"}
    return PublishedPipeline(
        totals, 0, 0, [], priority=told.priority, weight=told.weight, unit=told.unit, finished=told.finished,
        expected=told.expected, reached=told.reached, total=told.total, listed=told.listed,
    )  # fmt: skip


def _ended(name: str, run: RunRow, *, running: bool) -> PublishedPipeline:
    state = "interrupted" if run.state == "running" and not running else run.state
    # A run that was killed has written no totals.
    totals = {**PipelineProgress(name).totals(), **run.totals, "state": state}
    finished = sum(totals[counter] for counter in ("done", "unchanged", "quarantined"))
    unit = "file" if "duplicates" in run.totals or not run.totals else "row"
    return PublishedPipeline(totals, 0, 0, [], unit=unit, finished=finished, expected=max(finished, totals["seen"]))
