"""What the ledger hands out and takes in.

Records that travel inside an intent are named tuples: they are JSON arrays and
rows of SQL parameters as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from tenire.protocols import About

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Change",
    "DocumentRow",
    "DoneSource",
    "Intent",
    "LedgerTotals",
    "MemberRow",
    "QuarantineEntry",
    "RejectedSource",
    "Run",
    "RunRow",
    "SourceRow",
    "SourceState",
    "is_racy",
    "joined_stage",
]

_FINE_NS = 50_000_000
_COARSE_NS = 2_000_000_000


class SourceState(StrEnum):
    """What the ledger knows about a source."""

    DONE = "done"
    QUARANTINED = "quarantined"
    RETRY = "retry"  # in quarantine, and to be tried again by the next run


class DoneSource(NamedTuple):
    """A source whose document is in the store.

    Attributes:
        path: As the source listed it; may hold surrogate escapes.
        size: Bytes.
        mtime_ns: Nanoseconds since the epoch.
        content_hash: Hash of its bytes.
        document: Id of its document.
        racy: See ``is_racy``.
        container: Path of the file that holds it, or ``""`` if it is a file itself.
        similarity: The share of its words that it has in common with its document; less
            than 1 for one that is only nearly the same.
    """

    path: str
    size: int
    mtime_ns: int
    content_hash: str
    document: str
    racy: bool
    container: str = ""
    similarity: float = 1.0


class RejectedSource(NamedTuple):
    """A source that goes to quarantine.

    Attributes:
        path: As the source listed it; may hold surrogate escapes.
        size: Bytes.
        mtime_ns: Nanoseconds since the epoch.
        content_hash: Hash of its bytes, or ``""`` if they could not be read.
        racy: See ``is_racy``.
        stage: The stage that refused it, with its rule; see ``joined_stage``.
        error: Why; empty for a container that only counts as quarantined because of
            its members: their entries say what there is to say.
        container: Path of the file that holds it, or ``""`` if it is a file itself.
    """

    path: str
    size: int
    mtime_ns: int
    content_hash: str
    racy: bool
    stage: str
    error: str
    container: str = ""

    @property
    def reason(self) -> str:
        """The one word that it is counted under: the rule, the stage, or ``container`` for one with bad members."""
        return self.stage.rpartition("/")[2] if self.error else "container"


class MemberRow(NamedTuple):
    """What the ledger knows about a member of a container.

    Attributes:
        path: ``CONTAINER!/MEMBER``.
        container: Path of the file that holds it.
        quarantined: Whether it is in quarantine.
        read_in: Id of the run that read it.
    """

    path: str
    container: str
    quarantined: bool
    read_in: int


class DocumentRow(NamedTuple):
    """A document that the store holds.

    Attributes:
        id: Hash of recipe and content.
        passages: Number of its passages; a document without any is not in the store.
        text_bytes: Bytes of its cleansed text in UTF-8.
        title: For people; may be empty.
        about: What else is known about it.
        filtered: The rule of quality that it broke, or an empty string.
        reason: What that rule expected, and what came.
    """

    id: str
    passages: int
    text_bytes: int
    title: str
    about: About = About()
    filtered: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit changes in the ledger.

    Attributes:
        pipeline: Whose sources these are.
        recipe: Identity of what was done to them.
        done: Sources that now have a document.
        rejected: Sources that go to quarantine.
        removed: Paths of sources that left.
        add: Documents that were not known before.
        drop: Documents that no source refers to any more.
        run: Id of the run that read the sources.
        signatures: Signatures of documents that others may nearly be the same as, by id.
        redo: Sources that the next run has to do again: what they were nearly the same as
            has left.
    """

    pipeline: str
    recipe: str = ""
    done: tuple[DoneSource, ...] = ()
    rejected: tuple[RejectedSource, ...] = ()
    removed: tuple[str, ...] = ()
    add: tuple[DocumentRow, ...] = ()
    drop: tuple[str, ...] = ()
    run: int = 0
    signatures: Mapping[str, bytes] = field(default_factory=dict)
    redo: tuple[str, ...] = ()

    @property
    def adds_passages(self) -> bool:
        """Whether the store has to gain passages for this change to be true."""
        return any(document.passages for document in self.add)


@dataclass(frozen=True, slots=True)
class Intent:
    """A change that was planned, and whose store commit may or may not have happened.

    Attributes:
        id: The id of the store's batch.
        change: What the ledger will say once the store has it.
    """

    id: str
    change: Change


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one pipeline, as long as it lasts.

    Attributes:
        id: Grows with every run.
        pipeline: The pipeline's name.
        recipe: Identity of what the pipeline does to a source.
        started_at: Seconds since the epoch.
        watermark: Sources with a higher id came during this run.
    """

    id: int
    pipeline: str
    recipe: str
    started_at: float
    watermark: int


@dataclass(frozen=True, slots=True)
class SourceRow:
    """What the ledger knows about one source.

    Attributes:
        id: Number of the row.
        path: As the source listed it.
        size: Bytes, when it was read.
        mtime_ns: Nanoseconds since the epoch, when it was read.
        content_hash: Hash of its bytes, or ``""``.
        document: Id of its document; ``None`` in quarantine.
        state: Done, quarantined, or quarantined and to be tried again.
        recipe: Identity of what was done to it.
        racy: See ``is_racy``.
    """

    id: int
    path: str
    size: int
    mtime_ns: int
    content_hash: str
    document: str | None
    state: SourceState
    recipe: str
    racy: bool


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """One source in quarantine.

    Attributes:
        id: For ``tenire retry``; never used again for another source.
        pipeline: The pipeline's name.
        source: The path.
        stage: The stage that refused it.
        error: Why.
        attempts: How often it was tried; for a row, tries that got an answer.
        at: When it was tried last, in seconds since the epoch.
        retrying: Whether the next run will try it again.
        rule: The rule of the stage which it broke, or an empty string.
        container: The file that holds the source, or ``""`` if it is a file itself.
    """

    id: str
    pipeline: str
    source: str
    stage: str
    error: str
    attempts: int
    at: float
    retrying: bool
    container: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class RunRow:
    """What is left of a run.

    Attributes:
        id: Grows with every run.
        pipeline: The pipeline's name.
        state: ``running``, ``done``, ``failed``, ``cancelled`` or ``interrupted``.
        started_at: Seconds since the epoch.
        finished_at: Seconds since the epoch, or ``None``.
        totals: What ``finish`` was given.
    """

    id: int
    pipeline: str
    state: str
    started_at: float
    finished_at: float | None
    totals: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """What the ledger holds, all pipelines together.

    Attributes:
        documents: Sources that are done; copies count, and so do members of a
            container, but not the container itself.
        unique_documents: Documents, each counted once.
        chunks: Passages that the store holds.
        text_bytes: Bytes of cleansed text of the unique documents.
        quarantined: Sources in quarantine.
        pipelines: Last run of each pipeline.
    """

    documents: int
    unique_documents: int
    chunks: int
    text_bytes: int
    quarantined: int
    pipelines: Mapping[str, RunRow]


def joined_stage(stage: str, rule: str) -> str:
    """Return a stage and its rule as the ledger keeps them: ``validate/min_text``, or the stage alone."""
    return f"{stage}/{rule}" if rule else stage


def is_racy(mtime_ns: int, started_at: float) -> bool:
    """Return whether a file may have changed after it was read without showing it.

    A file that is written twice within one tick of the file system's clock keeps
    its time, and with the same size nothing tells the second write. That is only
    possible if its time is not clearly before the run that read it; such a file
    is hashed once more by the next run.

    Args:
        mtime_ns: Time of the file's last change, nanoseconds since the epoch.
        started_at: When the run that read it started, seconds since the epoch.
    """
    # Whole seconds mean a file system with coarse times: FAT has 2 s, HFS+ 1 s.
    # Elsewhere a tick is 1 to 16 ms.
    tick_ns = _COARSE_NS if mtime_ns % 1_000_000_000 == 0 else _FINE_NS
    return mtime_ns >= started_at * 1e9 - tick_ns
