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

    from tenire.storage.home import Home
    from tenire.storage.records import RunRow

__all__ = ["Holdings", "read_holdings"]


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a home holds.

    Attributes:
        documents: Documents.
        passages: Passages.
        quarantined: Entries of the quarantine.
        quarantine: The newest of them.
        pipelines: The last run of each pipeline.
    """

    documents: int = 0
    passages: int = 0
    quarantined: int = 0
    quarantine: tuple[Quarantined, ...] = ()
    pipelines: Mapping[str, PublishedPipeline] = field(default_factory=dict)


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
    return Holdings(totals.documents, totals.chunks, totals.quarantined, quarantine, pipelines)


def _ended(name: str, run: RunRow, *, running: bool) -> PublishedPipeline:
    state = "interrupted" if run.state == "running" and not running else run.state
    # A run that was killed has written no totals.
    totals = {**PipelineProgress(name).totals(), **run.totals, "state": state}
    finished = sum(totals[counter] for counter in ("done", "unchanged", "quarantined"))
    unit = "file" if "duplicates" in run.totals or not run.totals else "row"
    return PublishedPipeline(totals, 0, 0, [], unit=unit, finished=finished, expected=max(finished, totals["seen"]))
