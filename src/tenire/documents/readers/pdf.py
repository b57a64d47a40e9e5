"""PDF: its text page by page, its headings by the size of their letters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tenire.documents.formats import Kind
from tenire.documents.readers import kreuzberg
from tenire.documents.readers.reading import Raw, Reading, damaged
from tenire.documents.structure import heading_mark, page_mark, without_marks

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read"]

_TAIL = 4096
_FILLING = b"\0 \t\r\n"
_HEADING = re.compile(r"^(#{1,6}) +(.{1,300}?) *$", re.M)
_HYPHEN = re.compile(r"(?<=[a-zß-ÿ])[-\u00ad\u2010]\n(?=[a-zß-ÿ])")
_STYLE = re.compile(r"[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}")


def read(raw: Raw) -> Reading:
    """Read the text layer of a PDF. A scan has none, and becomes a document without text.

    Raises:
        DocumentError: If it is damaged, or needs a password.
        MissingExtraError: If kreuzberg is not installed.
    """
    # Some are filled up behind their end, to whole blocks.
    end = len(raw.data.rstrip(_FILLING))
    if raw.data.rfind(b"startxref", max(0, end - _TAIL)) < 0 and raw.data.rfind(b"%%EOF", max(0, end - _TAIL)) < 0:
        # The parser would put together what is left, and nobody would know what is missing.
        raise damaged(raw, "a PDF", "it was cut off before its end")
    found = kreuzberg.extract(raw, "application/pdf", "a PDF")
    pages = [(page["page_number"], page["content"]) for page in found.pages or ()]
    if not pages:
        pages = [(1, kreuzberg.unescaped(found.content))]
    headings = _headings(found.content)
    text = "\n\n".join(page_mark(number) + _marked(without_marks(content), headings) for number, content in pages)
    about = kreuzberg.about_of("pdf", found.metadata, pages=len(pages))
    return Reading(text, Kind.TEXT, kreuzberg.title_of(found.metadata), about)


class _Headings:
    """The headings of a document, in its order, each to be found once."""

    def __init__(self, found: Iterator[tuple[int, str]]) -> None:
        self._waiting = list(found)
        self._next = 0

    def level(self, line: str) -> int:
        """Return the level of a line that is one of the next few headings, else 0."""
        for place in range(self._next, min(self._next + 4, len(self._waiting))):
            level, title = self._waiting[place]
            if title == line:
                self._next = place + 1
                return level
        return 0


def _headings(markdown: str) -> _Headings:
    found = (
        (len(match[1]), _one_line(_STYLE.sub("", kreuzberg.unescaped(match[2]))))
        for match in _HEADING.finditer(markdown)
    )
    return _Headings(found)


def _marked(page: str, headings: _Headings) -> str:
    page = page.replace("\r\n", "\n").replace("\r", "\n")
    page = _HYPHEN.sub("", page)  # a word that was cut at the end of its line
    lines = page.split("\n")
    for number, line in enumerate(lines):
        level = headings.level(_one_line(line)) if line.strip() else 0
        if level:
            lines[number] = heading_mark(level) + line.lstrip()
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(text.split())
