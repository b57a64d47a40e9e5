"""Reads a row source lazily and sorts its rows into work and no work.

==============================  ======================  ====================================
the row                         the ledger says         decision
==============================  ======================  ====================================
asks what it asked              done                    unchanged
asks what it asked              quarantined             quarantined (not tried again)
is new, or asks something else  anything                work; or refused, if there is nothing to ask
any                             to be tried again       work
an id that was listed before    anything                refused
==============================  ======================  ====================================
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from tenire.pipeline.chunks import Chunk
from tenire.pipeline.rows.recipe import RowError
from tenire.pipeline.rows.records import BrokenRow, Row, content_hash
from tenire.storage.records import SourceState
from tenire.storage.rows import RefusedRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tenire.pipeline.rows.recipe import RowTerms
    from tenire.storage.ledger import Ledger
    from tenire.storage.records import Run
    from tenire.storage.rows import KnownRow

__all__ = ["CHUNK", "RowChunk", "RowLister", "RowWork", "Standing", "in_quarantine", "standing_of"]

CHUNK = 512


@dataclass(frozen=True, slots=True)
class RowWork:
    """One row that has to be answered.

    Attributes:
        row: The row.
        request: Hash of what is asked.
        was_done: Whether the output has an older answer to it.
    """

    row: Row
    request: str
    was_done: bool

    @property
    def size(self) -> int:
        """Bytes of the row."""
        return self.row.size


@dataclass(slots=True)
class RowChunk(Chunk):
    """Up to ``CHUNK`` listed rows, sorted.

    Attributes:
        work: Rows that have to be answered.
        refused: What goes to quarantine as it is, and whether the output has an
            older answer to it.
    """

    work: list[RowWork] = field(default_factory=list)
    refused: list[tuple[RefusedRow, bool]] = field(default_factory=list)


class Standing(StrEnum):
    """What there is to do with a row that can be asked."""

    WORK = "work"
    UNCHANGED = "unchanged"
    QUARANTINED = "quarantined"


def standing_of(row: Row, request: str, before: KnownRow | None, recipe: RowTerms) -> Standing:
    """Return what there is to do with a row.

    Args:
        row: The row.
        request: Hash of what it asks.
        before: What the ledger knows of it.
        recipe: What is done to it.
    """
    if before is None or before.state is SourceState.RETRY:
        return Standing.WORK
    if before.state is SourceState.DONE:
        return Standing.UNCHANGED if before.request == request else Standing.WORK
    same = before.request == in_quarantine(request, recipe) and before.source == row.source
    return Standing.QUARANTINED if same else Standing.WORK


def in_quarantine(request: str, recipe: RowTerms) -> str:
    """Return what the ledger notes for a row in quarantine: it is tried again if the policy changes, too."""
    return f"{request} {recipe.policy}"


class RowLister:
    """Goes through a source, a chunk at a time; blocks, so call it on a thread.

    Args:
        rows: The rows of the source.
        ledger: What is known of them.
        run: The run.
        recipe: What is asked.
        retries_only: Whether only rows that are to be tried again count.
    """

    def __init__(
        self,
        rows: Iterator[Row | BrokenRow],
        *,
        ledger: Ledger,
        run: Run,
        recipe: RowTerms,
        retries_only: bool = False,
    ) -> None:
        self._rows = rows
        self._table = ledger.rows
        self._run = run
        self._recipe = recipe
        self._retries_only = retries_only
        self._listed = 0
        self._order = hashlib.blake2b(digest_size=16)

    @property
    def order(self) -> str:
        """A hash of all ids listed so far, in their order."""
        return self._order.hexdigest()

    def next_chunk(self) -> RowChunk | None:
        """Return the next chunk, or ``None`` at the end of the source.

        Raises:
            ConfigError: If a file cannot be read.
            StoreError: If the ledger cannot be used.
        """
        rows = list(islice(self._rows, CHUNK))
        if not rows:
            return None
        items = self._note(rows)
        known = self._table.known(self._run.pipeline, [item.key for item in items])
        chunk = RowChunk()
        for item in items:
            before = known.get(item.key)
            if not self._retries_only or (before is not None and before.state is SourceState.RETRY):
                chunk.seen += 1
                self._take(chunk, item, before)
        return chunk

    def _note(self, rows: Sequence[Row | BrokenRow]) -> list[Row | BrokenRow | _Copy]:
        """Note rows as listed; of those whose id was used before, say so."""
        place = self._listed
        self._listed += len(rows)
        times = self._table.list(self._run, [row.key for row in rows], place=place)
        items: list[Row | BrokenRow | _Copy] = []
        for number, (row, time) in enumerate(zip(rows, times, strict=True), place):
            item: Row | BrokenRow | _Copy = row
            if time > 1 and isinstance(row, Row):
                item = self._again(row, time, number)
            self._order.update(item.key.encode())
            items.append(item)
        return items

    def _again(self, row: Row, time: int, place: int) -> Row | _Copy:
        if not row.named:
            # The same content once more is a row of its own.
            number = f"{row.id}-{time}"
            other = replace(row, key=f'"{number}"', id=number)
            if self._table.list(self._run, [other.key], place=place) == [1]:
                return other
        copy = _Copy(row, time)
        self._table.list(self._run, [copy.key], place=place)
        return copy

    def _take(self, chunk: RowChunk, item: Row | BrokenRow | _Copy, before: KnownRow | None) -> None:
        try:
            request = self._request(item)
        except RowError as error:
            refused = RefusedRow(item.key, item.source, _refusal(item), error.stage, str(error), error.attempts)
            self._refuse(chunk, refused, before)
            return
        row = item
        assert isinstance(row, Row)
        standing = standing_of(row, request, before, self._recipe)
        if standing is Standing.UNCHANGED:
            chunk.unchanged += 1
        elif standing is Standing.QUARANTINED:
            chunk.quarantined += 1
        else:
            was_done = before is not None and before.state is SourceState.DONE
            chunk.work.append(RowWork(row, request, was_done=was_done))

    def _request(self, item: Row | BrokenRow | _Copy) -> str:
        if isinstance(item, Row):
            return self._recipe.request(item)
        raise RowError(item.error, stage="read")

    @staticmethod
    def _refuse(chunk: RowChunk, refused: RefusedRow, before: KnownRow | None) -> None:
        known = (before.state, before.request, before.source) if before is not None else None
        if known == (SourceState.QUARANTINED, refused.request, refused.source):
            chunk.quarantined += 1
            return
        chunk.refused.append((refused, before is not None and before.state is SourceState.DONE))


@dataclass(frozen=True, slots=True)
class _Copy:
    """A row whose id an earlier one has."""

    row: Row
    time: int

    @property
    def key(self) -> str:
        return f"copy {self.time} of {self.row.key}"

    @property
    def source(self) -> str:
        return f"{self.row.source} ({self.row.place})"

    @property
    def error(self) -> str:
        return f"{self.row.place}: expected an id that no other row has, got {self.row.key}, which an earlier row has"


def _refusal(item: Row | BrokenRow | _Copy) -> str:
    """Return a hash of what is refused."""
    if isinstance(item, BrokenRow):
        return item.content
    return content_hash((item.row if isinstance(item, _Copy) else item).fields)
