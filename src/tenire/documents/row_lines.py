"""Which lines of a file the records of a table stand on.

A reader makes blocks of records, so lines of its text are none of the file. What it
notes of each block is where the block begins in the text, and where the record began
and ended in the file; of a table that is read in parts, in the whole file.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tenire.documents.structure import LineMap

__all__ = ["WHOLE", "Part", "RowLines"]


class Part(NamedTuple):
    """What a part of a table has from the whole.

    Attributes:
        lines: What is to be added to its lines to have those of the whole file.
        separator: What separates the columns, or an empty string where that makes no difference.
    """

    lines: int = 0
    separator: str = ""


WHOLE = Part()
"""What is no part."""


class RowLines:
    """Lines in the file for lines of the cleansed text; see ``structure.LineMap``.

    Args:
        shift: Added to each line of the file that is noted.
    """

    def __init__(self, shift: int = 0) -> None:
        # Numbers, not objects: a table may have millions of rows.
        self._starts, self._firsts, self._lasts = array("q"), array("q"), array("q")
        self._shift = shift
        self._cleansed: LineMap | None = None

    def note(self, start: int, first: int, last: int) -> None:
        """Note a block.

        Args:
            start: Its first line in the reader's text, from 0; ascending.
            first: The record's first line in the file, from 1.
            last: Its last one.
        """
        self._starts.append(start)
        self._firsts.append(first + self._shift)
        self._lasts.append(last + self._shift)

    def after(self, cleansed: LineMap) -> RowLines:
        """Say which lines of the reader's text those of the cleansed one were; return this."""
        self._cleansed = cleansed
        return self

    def first(self, line: int) -> int:
        """Return where in the file the record begins of which the line ``line`` of the text, from 0, is part."""
        return self._firsts[self._block(line)]

    def last(self, line: int) -> int:
        """Return where it ends."""
        return self._lasts[self._block(line)]

    def _block(self, line: int) -> int:
        read = line if self._cleansed is None else self._cleansed.first(line) - 1
        return max(0, bisect_right(self._starts, read) - 1)
