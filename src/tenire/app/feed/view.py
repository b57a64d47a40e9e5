"""What is shown of a run: one frozen record that all faces read, and nothing else."""

from __future__ import annotations

import os

import msgspec

from tenire.app.feed.happened import Happened
from tenire.app.published import Published, PublishedPipeline

__all__ = ["MOST_ITEMS", "Quarantined", "Rate", "Sample", "View"]

MOST_ITEMS = 500
"""Entries of the quarantine that are shown, the newest."""


class Quarantined(msgspec.Struct, frozen=True):
    """One entry of the quarantine.

    Attributes:
        id: Names it, for ``retry`` and ``why``.
        pipeline: Its pipeline.
        source: The file, or ``FILE#ID`` for a row.
        stage: The stage that refused it.
        error: Why.
        attempts: How often it was tried.
        at: When it was tried last, seconds since the epoch.
        retrying: Whether the next run will try it again.
    """

    id: str
    pipeline: str
    source: str
    stage: str
    error: str
    attempts: int
    at: float
    retrying: bool


class Rate(msgspec.Struct, frozen=True):
    """How fast a pipeline is, over the last ten seconds.

    Attributes:
        speed: Units of ``total`` in a second: bytes of files, or rows.
        items: Files or rows in a second.
        left: Seconds to go, or ``None`` while that cannot be known.
    """

    speed: float = 0.0
    items: float = 0.0
    left: float | None = None


class Sample(msgspec.Struct, frozen=True):
    """One point of the curves; there is one a second.

    Attributes:
        at: Seconds since the epoch.
        load: How loaded the machine is, 0 to 1, or ``None``: a quarter for each level, no share of anything.
        running: Tasks that run.
        queued: Tasks that wait.
        cpu: The share of the CPU slots that is held, 0 to 1.
        resident: Memory of the engine and its workers, bytes.
        items: Files and rows in a second, all pipelines together.
    """

    at: float
    load: float | None
    running: int
    queued: int
    cpu: float
    resident: int
    items: float


class View(msgspec.Struct, frozen=True):
    """All that is shown at one moment.

    Attributes:
        number: Grows with each.
        home: The home.
        link: ``attached``; ``silent``, if an engine runs but does not answer; ``gone``, if none runs.
        since: Since when the link is so, seconds since the epoch.
        note: Why it is not attached, for people, or an empty text.
        engine: What the engine told last, or ``None`` if it never did.
        pipelines: Those of the engine, or those of the last run if none runs.
        rates: How fast each of them is.
        events: What happened, the newest last; not more than the engine keeps.
        quarantine: The newest entries of the quarantine, these first.
        quarantined: How many there are.
        documents: Documents that the home holds.
        passages: Passages that the home holds.
        samples: The last five minutes.
    """

    number: int
    home: str
    link: str
    since: float
    note: str = ""
    engine: Published | None = None
    pipelines: dict[str, PublishedPipeline] = {}
    rates: dict[str, Rate] = {}
    events: tuple[Happened, ...] = ()
    quarantine: tuple[Quarantined, ...] = ()
    quarantined: int = 0
    documents: int = 0
    passages: int = 0
    samples: tuple[Sample, ...] = ()

    @property
    def attached(self) -> bool:
        """Whether an engine answers."""
        return self.link == "attached"

    @property
    def shown_home(self) -> str:
        """The home as people write it, with ``~`` for their own directory."""
        own = os.path.expanduser("~")
        return f"~{self.home[len(own) :]}" if self.home.startswith(own + os.sep) else self.home
