"""Cuts a stream of lines into files that a provider takes.

1. A file has at most so many lines and at most so many bytes.
2. Lines stay in order, each is in one file, and no file is empty.
3. A file ends only when the next line does not fit into it.
4. A file that is still too large for the provider is halved by bytes; both halves have lines.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FileCut", "halving"]


class FileCut:
    """Says where one file ends and the next begins.

    Example:
        >>> cut = FileCut(lines=2, size=100)
        >>> [cut.add(40), cut.add(40), cut.add(40), cut.add(70)]
        [False, False, True, True]

    Args:
        lines: Most lines of a file.
        size: Most bytes of a file.

    Attributes:
        lines: Lines of the file that is being filled.
        size: Its bytes.
    """

    __slots__ = ("_most_bytes", "_most_lines", "lines", "size")

    def __init__(self, *, lines: int, size: int) -> None:
        self._most_lines = lines
        self._most_bytes = size
        self.lines = 0
        self.size = 0

    def fits(self, size: int) -> bool:
        """Return whether a line of ``size`` bytes fits into any file."""
        return size <= self._most_bytes

    def add(self, size: int) -> bool:
        """Count a line of ``size`` bytes, which ``fits``; return whether it begins another file."""
        begins = self.lines > 0 and (self.lines == self._most_lines or self.size + size > self._most_bytes)
        if begins:
            self.lines = self.size = 0
        self.lines += 1
        self.size += size
        return begins

    def check(self) -> None:
        """Verify the rules."""
        assert 0 <= self.lines <= self._most_lines
        assert 0 <= self.size <= self._most_bytes


def halving(sizes: Sequence[int]) -> int:
    """Return how many lines the first half of a file has.

    Args:
        sizes: Bytes of its lines, at least two, each above zero.
    """
    # Whichever side of the line in the middle is nearer to it; never before the first, nor after the last.
    middles = (after - size / 2 for size, after in zip(sizes, accumulate(sizes), strict=True))
    half = sum(sizes) / 2
    return next(place for place, middle in enumerate(middles) if middle >= half)
