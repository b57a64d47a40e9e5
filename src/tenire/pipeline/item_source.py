"""Rows and items as what a documents pipeline lists: each of them is a document.

A row is listed with its content, since there is no file to read it from. Its ``path`` is what
names it elsewhere, ``FILE#ID``, and its time stands for its content: so what decides whether a
file has changed decides it for a row too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tenire.pipeline.rows.records import BrokenRow
from tenire.pipeline.stages.records import record_of
from tenire.protocols import Rejection, SourceFile

if TYPE_CHECKING:
    from tenire.pipeline.listing import Listed
    from tenire.pipeline.rows.records import Row, Rows

__all__ = ["ItemFile", "ItemSource", "another", "twice"]

# As a time, 78 hours after the epoch at the most: a time that lies behind every run never looks like one during it.
_STAMP_BYTES = 6


@dataclass(frozen=True, slots=True)
class ItemFile(SourceFile):
    """A row as the source listed it.

    Attributes:
        record: Its fields as JSON, its id left out: rows that hold the same are copies of one document.
        named: Whether it has an id, and is not known by its content alone.
        place: Where it stands, for example ``row 7``.
    """

    record: bytes = b""
    named: bool = True
    place: str = ""

    @property
    def file(self) -> SourceFile:
        """Where it stands, without its content."""
        return SourceFile(self.path, self.size, self.mtime_ns)


class ItemSource:
    """Lists rows.

    Args:
        rows: The rows.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def fetch(self) -> None:
        """Have the next rows ready, if that needs the loop."""
        await self._rows.fetch()

    def walk(self) -> Iterator[Listed]:
        """Return an iterator over all rows; one that ended goes on once more was fetched."""
        return _Listing(self._rows.rows())

    def covers(self, path: str) -> bool:
        """Return true: what is not among the rows any more has left."""
        return True

    def sizes(self) -> Iterator[int]:
        """Go through all rows once more, where that is possible: yield the bytes of each."""
        return self._rows.sizes() if self._rows.repeatable else iter(())


class _Listing(Iterator["Listed"]):
    def __init__(self, rows: Iterator[Row | BrokenRow]) -> None:
        self._rows = rows

    def __next__(self) -> Listed:
        row = next(self._rows)
        if isinstance(row, BrokenRow):
            return Rejection(SourceFile(row.source, row.size, _stamp(row.content.encode())), "read", row.error)
        record = record_of("", row.fields)
        return ItemFile(row.source, len(record), _stamp(record), record=record, named=row.named, place=row.place)


def another(item: ItemFile, time: int) -> ItemFile:
    """Return a row without an id whose content was listed before, as a document of its own."""
    return replace(item, path=f"{item.path}-{time}")


def twice(item: ItemFile) -> Rejection:
    """Return the refusal of a row whose id an earlier one has."""
    error = f"{item.place}: expected an id that no other row has, got that of an earlier row ({item.path})"
    return Rejection(SourceFile(f"{item.path} ({item.place})", item.size, item.mtime_ns), "read", error)


def _stamp(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=_STAMP_BYTES).digest(), "little")
