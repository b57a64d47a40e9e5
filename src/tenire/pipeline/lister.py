"""Reads a source lazily and sorts what it lists into work and no work."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from tenire.pipeline.chunks import Chunk
from tenire.pipeline.classify import Decision, classify
from tenire.pipeline.expected_size import expected_size
from tenire.pipeline.item_source import ItemFile, ItemSource, another, twice
from tenire.pipeline.listing import Skipped
from tenire.protocols import Rejection, SourceFile
from tenire.storage.records import SourceState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tenire.pipeline.listing import Listed, Source
    from tenire.storage.ledger import Ledger
    from tenire.storage.records import Run, SourceRow

__all__ = ["ListedChunk", "Lister", "Work", "sizes"]

CHUNK = 512


@dataclass(frozen=True, slots=True)
class Work:
    """One file that has to be read.

    Attributes:
        file: The file as listed.
        known_hash: Hash of the content that the ledger knows, if only the file's
            time has moved: equal content needs nothing done.
        old_document: The document that this source has so far, or ``None``.
        was_done: Whether the source is done so far (and not in quarantine).
    """

    file: SourceFile
    known_hash: str | None = None
    old_document: str | None = None
    was_done: bool = False

    @property
    def size(self) -> int:
        """Bytes of the file, about, once it is read."""
        return expected_size(self.file.path, self.file.size)


@dataclass(slots=True)
class ListedChunk(Chunk):
    """Up to ``CHUNK`` listed files, sorted; those of types that hold no text are skipped.

    Attributes:
        work: Files that have to be read.
        rejections: What the source itself could not use.
    """

    work: list[Work] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


class Lister:
    """Walks a source, a chunk at a time; blocks, so call it on a thread."""

    def __init__(self, listed: Iterator[Listed], ledger: Ledger, run: Run) -> None:
        self._listed = listed
        self._ledger = ledger
        self._run = run
        self._refused: set[str] = set()
        self._items = 0

    def next_chunk(self) -> ListedChunk | None:
        """Return the next chunk, or ``None`` at the end of the source.

        Raises:
            ConfigError: If a path that the user named went missing.
            StoreError: If the ledger cannot be read.
        """
        items = self._each_once(list(islice(self._listed, CHUNK)))
        if not items:
            return None
        chunk = ListedChunk()
        files = [_file_of(item) for item in items if not isinstance(item, Skipped)]
        known = self._ledger.sources.known(self._run, files)
        quarantined: list[str] = []
        for item in items:
            if isinstance(item, Skipped):
                chunk.skipped += 1
                continue
            file = _file_of(item)
            chunk.seen += 1
            chunk.seen_bytes += file.size
            row = known.get(file.path)
            if isinstance(item, Rejection):
                decision = self._take_rejection(chunk, item, row)
            else:
                decision = self._take_file(chunk, item, row)
            if decision is Decision.QUARANTINED:
                quarantined.append(file.path)
        if quarantined:
            chunk.quarantined = len(quarantined)
            chunk.reasons = self._ledger.quarantine.reasons(self._run.pipeline, quarantined)
        return chunk

    def vanished(self, covers: Callable[[str], bool]) -> Iterator[list[str]]:
        """Yield the sources that left since they were stored, some hundred at a time.

        Only true once ``next_chunk`` has returned ``None``. What lies below a
        directory that could not be read this time has not left.

        Args:
            covers: Whether the source would list such a path; what it would not
                list is none of its business.
        """
        for paths in self._ledger.sources.vanished(self._run):
            gone = [path for path in paths if covers(path) and not self._is_hidden(path)]
            if gone:
                yield gone

    def _each_once(self, items: list[Listed]) -> list[Listed]:
        """Tell rows that are called alike apart; no two files are."""
        paths = [item.path for item in items if isinstance(item, ItemFile)]
        if not paths:
            return items
        times = iter(self._ledger.rows.list(self._run, paths, place=self._items))
        self._items += len(paths)
        return [self._once(item, next(times)) if isinstance(item, ItemFile) else item for item in items]

    def _once(self, item: ItemFile, time: int) -> Listed:
        if time == 1:
            return item
        return twice(item) if item.named else another(item, time)

    def _is_hidden(self, path: str) -> bool:
        if not self._refused:
            return False
        parent = os.path.dirname(path)
        while parent != path:
            if parent in self._refused:
                return True
            path, parent = parent, os.path.dirname(parent)
        return False

    def _take_rejection(self, chunk: ListedChunk, rejection: Rejection, row: SourceRow | None) -> Decision:
        file = rejection.file
        self._refused.add(file.path)
        decision = classify(file, row, recipe=self._run.recipe)
        if decision is Decision.QUARANTINED:
            chunk.unchanged_bytes += file.size
        else:
            chunk.rejections.append(rejection)
        return decision

    def _take_file(self, chunk: ListedChunk, file: SourceFile, row: SourceRow | None) -> Decision:
        decision = classify(file, row, recipe=self._run.recipe)
        if decision is Decision.UNCHANGED:
            chunk.unchanged += 1
            chunk.unchanged_bytes += file.size
        elif decision is Decision.QUARANTINED:
            chunk.unchanged_bytes += file.size
        else:
            known_hash = row.content_hash if row is not None and decision is Decision.TOUCHED else None
            old = row.document if row is not None else None
            chunk.work.append(Work(file, known_hash, old, row is not None and row.state is SourceState.DONE))
        return decision


def sizes(source: Source) -> Iterator[int]:
    """Walk a source once more, without the ledger: yield the bytes of each of its files."""
    if isinstance(source, ItemSource):
        yield from source.sizes()
        return
    for item in source.walk():
        if not isinstance(item, Skipped):
            yield _file_of(item).size


def _file_of(item: SourceFile | Rejection) -> SourceFile:
    return item.file if isinstance(item, Rejection) else item
