"""What a text's parts are: its headings, its pages, and blocks that belong together.

A reader tells it in the text itself, by *marks* that survive cleansing and masking;
``unmark`` takes them out at the end and says where they stood::

    reader ─► text with marks ─► cleanse ─► mask ─► unmark ─► text, Structure ─► cut

A mark is two noncharacters of Unicode, which no file may use for anything else, with
a code between them. So nothing that changes a text on its way has to move offsets.
What a file itself holds of these characters is taken out by ``without_marks`` first.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple, Protocol

__all__ = [
    "CODE", "CODE_END", "TABLE", "TABLE_END", "Heading", "LineMap", "Lines", "Structure",
    "heading_mark", "is_page_mark", "marks_of", "page_mark", "plain", "unmark", "with_pages", "without_marks",
]  # fmt: skip

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"

CODE, CODE_END = f"{_OPEN}c{_CLOSE}", f"{_OPEN}C{_CLOSE}"
"""Around a block of code. It is kept in one passage where it fits."""
TABLE, TABLE_END = f"{_OPEN}t{_CLOSE}", f"{_OPEN}T{_CLOSE}"
"""Around a table, the same. Of tables in tables, the innermost count."""

_MARK = re.compile(f"{_OPEN}[^{_OPEN}{_CLOSE}]{{0,20}}{_CLOSE}")
_WORD = re.compile(r"\S")
_LONGEST_HEADING = 300
_ENDS = {"C": "c", "T": "t"}
_NO_HEADING = ("", "\n")  # nothing of it is left
_MANY = 1 << 30  # a text begins with none of its line breaks


class Heading(NamedTuple):
    """One heading.

    Attributes:
        start: Offset of its first character in the text.
        level: From 1, the outermost.
        title: The heading itself, one line.
        end: Offset after its last character, lines under it included.
    """

    start: int
    level: int
    title: str
    end: int


class LineMap(NamedTuple):
    """Which line of the file a line of the cleansed text was.

    Attributes:
        lines: Lines of the cleansed text, from 0, ascending, from which on ...
        shifts: ... so many lines of the file are to be added.
    """

    lines: tuple[int, ...] = ()
    shifts: tuple[int, ...] = ()

    def first(self, line: int) -> int:
        """Return the line of the file, from 1, that the line ``line`` of the text, from 0, was."""
        place = bisect_right(self.lines, line)
        return line + 1 + (self.shifts[place - 1] if place else 0)

    def last(self, line: int) -> int:
        """Return the same: a line of such a text was one line."""
        return self.first(line)


class Lines(Protocol):
    """On which lines of a file that stands of which a line of the text was made."""

    def first(self, line: int) -> int:
        """Return where that begins, from 1, for the line ``line`` of the text, from 0."""
        ...

    def last(self, line: int) -> int:
        """Return where it ends."""
        ...


@dataclass(frozen=True, slots=True)
class Structure:
    """The structure of one cleansed text; all offsets are characters of that text.

    Attributes:
        headings: Its headings, in order.
        pages: Where pages begin, and their numbers: ascending pairs.
        blocks: What belongs together, code and tables: (start, end) each, in order,
            none overlapping.
        lines: Which lines of the file its lines come from; ``None`` where lines mean nothing.
    """

    headings: tuple[Heading, ...] = ()
    pages: tuple[tuple[int, int], ...] = ()
    blocks: tuple[tuple[int, int], ...] = ()
    lines: Lines | None = None


def heading_mark(level: int) -> str:
    """Return what goes directly before a heading's first character; the heading ends with its line.

    Args:
        level: From 1, the outermost, to 9.
    """
    return f"{_OPEN}{level}{_CLOSE}"


def page_mark(number: int) -> str:
    """Return what goes before the first character of a page.

    Args:
        number: The page's number, from 1.
    """
    return f"{_OPEN}p{number}{_CLOSE}"


def with_pages(text: str) -> str:
    """Return a text whose form feeds part pages with marks where the pages begin."""
    if "\f" not in text:
        return text
    first, *others = text.split("\f")
    pages = [f"\f{page_mark(number)}{page}" for number, page in enumerate(others, 2)]
    return f"{page_mark(1)}{first}{''.join(pages)}"


def without_marks(text: str) -> str:
    """Return a text as a file held it, without the characters that marks are made of."""
    if _OPEN in text:
        text = text.replace(_OPEN, "")
    return text.replace(_CLOSE, "") if _CLOSE in text else text


def plain(text: str) -> str:
    """Return a text without its marks, for those who only look at it."""
    return _MARK.sub("", text) if _OPEN in text else text


def marks_of(line: str) -> list[str]:
    """Return the marks in a line."""
    return _MARK.findall(line) if _OPEN in line else []


def is_page_mark(mark: str) -> bool:
    """Return whether a mark says where a page begins; all others belong to the text around them."""
    return mark.startswith(f"{_OPEN}p")


def unmark(text: str, lines: Lines | None = None) -> tuple[str, Structure]:
    """Take the marks out of a cleansed text.

    Args:
        text: The text, with marks or without.
        lines: Goes into the structure as it is.

    Returns:
        The text, without blank lines that only a mark had kept apart, and its structure.
    """
    parts = text.split(_OPEN)
    if len(parts) == 1:
        return text, Structure(lines=lines)
    whole = _Pieces(parts[0])
    marks: list[tuple[int, str]] = []
    for part in parts[1:]:
        code, closed, rest = part.partition(_CLOSE)
        if not closed:
            code, rest = "", part
        if code and not (code.isdigit() and rest[:1] in _NO_HEADING):
            marks.append((whole.length, code))
        whole.add(rest)
    text = whole.joined()
    return text, _structure(text, marks, lines)


class _Pieces:
    """A text in the making: where a mark stood on lines of its own, the longer run of line breaks stays."""

    def __init__(self, first: str) -> None:
        self._pieces = [first]
        self._breaks = len(first) - len(first.rstrip("\n")) if first.strip("\n") else _MANY
        self.length = len(first)

    def add(self, piece: str) -> None:
        """Add what stood behind a mark."""
        if not piece:
            return
        if piece[0] == "\n":
            begun = piece.lstrip("\n")
            piece = piece[min(self._breaks, len(piece) - len(begun)) :]
            if not self._breaks and self._pieces[-1][-1:] == " ":
                self._pieces[-1] = self._pieces[-1][:-1]
                self.length -= 1
        if piece:
            self._pieces.append(piece)
            self.length += len(piece)
            ended = len(piece) - len(piece.rstrip("\n"))
            self._breaks = ended if ended < len(piece) else self._breaks + ended

    def joined(self) -> str:
        """Return the text."""
        return "".join(self._pieces).rstrip("\n")


def _structure(text: str, marks: list[tuple[int, str]], lines: Lines | None) -> Structure:
    headings: list[Heading] = []
    pages: list[tuple[int, int]] = []
    blocks: list[tuple[int, int]] = []
    begun: dict[str, int] = {}
    for marked, code in marks:
        place = min(marked, len(text))
        if code.isdigit():
            title = text[place : place + _LONGEST_HEADING].partition("\n")[0].strip()
            if title:
                start = _first_word(text, place)
                headings.append(Heading(start, int(code), title, start + len(title)))
        elif code in ("c", "t"):
            begun[code] = place
        elif code in _ENDS:
            opened = begun.pop(_ENDS[code], None)
            if opened is not None:
                _add_block(blocks, _first_word(text, opened), opened + len(text[opened:place].rstrip()))
        elif code[:1] == "p" and code[1:].isdigit():
            pages.append((place, int(code[1:])))
    return Structure(tuple(headings), tuple(pages), tuple(blocks), lines)


def _first_word(text: str, place: int) -> int:
    # Not far: of many marks before one run of blanks, each would walk all of it.
    found = _WORD.search(text, place, place + _LONGEST_HEADING)
    return found.start() if found is not None else place


def _add_block(blocks: list[tuple[int, int]], start: int, end: int) -> None:
    """Add a block; one that holds blocks already is too large a frame to mean anything."""
    if start < end and (not blocks or blocks[-1][1] <= start):
        blocks.append((start, end))
