"""Lines that say nothing of their document: those that repeat over many, and over its pages.

Which lines repeat over the documents of a source is found from some of them (see
``app.boilerplate``); here a document tells which lines it would bring, and loses those
that repeat. What is taken out is bounded by where it stands:

1. Only what stands at the beginning or the end counts: of the document, or of one of its
   pages. From there inwards, the first line that does not repeat ends it: what stands in
   the midst of a text is part of it, however often others say the same.
2. Headings, tables and marked code stay; of source code, only comments go. What holds
   records (JSON, CSV, sheets, …) is left alone.
3. Of a document with at least four pages, a line goes too that stands at the same end of
   three of five of them, the same or counting the pages: running titles, page numbers.
4. A document that would be left without text keeps all of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from tenire.documents.formats import Kind
from tenire.documents.structure import is_page_mark, marks_of, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tenire.protocols import Document

__all__ = ["Repeated", "ends_of", "line_key", "without_repeated"]

_DEEP = 60
"""Lines of an end that are looked at."""
_DEEP_IN_PAGE = 3
_LONGEST = 300
_FEWEST_PAGES = 4
_SHARE_OF_PAGES = 0.6

_RECORDS = frozenset({"json", "jsonl", "csv", "tsv", "parquet", "xlsx", "ods"})
_COMMENT = re.compile(r"\s*(?:#|//|/\*|\*|--|;|%|<!--|\"\"\"|''')")
_WORD = re.compile(r"[^\W_]")
_NUMBER = re.compile(r"[0-9]{1,9}")
_EMPTY_LINES = re.compile(r"\n{4,}")


@dataclass(frozen=True, slots=True)
class Repeated:
    """The lines that repeat over the documents of a source.

    Attributes:
        share: In which share of them a line has to stand.
        keys: Their ``line_key``.
    """

    share: float
    keys: frozenset[int] = frozenset()

    @property
    def identity(self) -> str:
        """What a document depends on here, as one string."""
        digest = blake2b(b"".join(key.to_bytes(8, "big") for key in sorted(self.keys)), digest_size=8)
        return f"{self.share:g} {digest.hexdigest()}"


def line_key(line: str) -> int | None:
    """Return what stands for a line, whatever its blanks and capitals; ``None`` for one that can never count."""
    words = _words(line)
    if not words or len(words) > _LONGEST:
        return None
    return int.from_bytes(blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def ends_of(document: Document) -> list[str]:
    """Return the lines at the ends of a document and of its pages, each once: those that could repeat."""
    about = document.about
    if about.kind in _RECORDS:
        return []
    code = about.kind == Kind.CODE.value
    lines: list[str] = []
    pages: list[list[str]] = []
    page = None
    for passage in document.passages:
        own = passage.text.split("\n")
        lines += own
        if not pages or passage.place.page != page:
            page = passage.place.page
            pages.append([])
        pages[-1] += own
    chosen = [*lines[:_DEEP], *lines[-_DEEP:]]
    if len(pages) > 1:
        for own in pages:
            chosen += [*own[:_DEEP_IN_PAGE], *own[-_DEEP_IN_PAGE:]]
    headings = {line_key(title) for passage in document.passages for title in passage.place.headings}
    found = {
        key: " ".join(line.split())
        for line in chosen
        if (key := line_key(line)) not in headings and key is not None and (not code or _COMMENT.match(line))
    }
    return list(found.values())


def without_repeated(text: str, kind: str, repeated: Repeated, *, markup: Kind, keep_lines: bool) -> tuple[str, int]:
    """Take the lines out of a text that repeat.

    Args:
        text: The text, with marks or without.
        kind: The format of the document.
        repeated: The lines.
        markup: How the text is marked up.
        keep_lines: Whether the others have to stay on their lines; what is taken out then leaves them empty.

    Returns:
        The text, and how many lines were taken out.
    """
    if kind in _RECORDS:
        return text, 0
    lines = text.split("\n")
    pages = _pages(lines)
    gone = _at_pages(lines, pages)
    for start, stop in pages:
        gone |= _run(lines, range(start, min(stop, start + _DEEP)), repeated.keys, gone, markup)
        gone |= _run(lines, range(stop - 1, max(start, stop - _DEEP) - 1, -1), repeated.keys, gone, markup)
    counted = sum(bool(plain(lines[number]).strip()) for number in gone)
    if not counted or all(number in gone or not plain(line).strip() for number, line in enumerate(lines)):
        return text, 0
    kept = ["".join(marks_of(line)) if number in gone else line for number, line in enumerate(lines)]
    if keep_lines:
        return "\n".join(kept), counted
    left = "\n".join(line for number, line in enumerate(kept) if line or number not in gone)
    return _EMPTY_LINES.sub("\n\n\n", left).strip("\n"), counted


def _words(line: str) -> str:
    words = " ".join(plain(line).split()).casefold()
    return words if _WORD.search(words) else ""


def _pages(lines: list[str]) -> list[tuple[int, int]]:
    """Return the first line of each page, and the one after its last."""
    starts = [number for number, line in enumerate(lines) if any(map(is_page_mark, marks_of(line)))]
    if not starts or starts[0]:
        starts.insert(0, 0)
    return list(zip(starts, [*starts[1:], len(lines)], strict=True))


def _run(lines: list[str], order: Iterable[int], keys: frozenset[int], gone: set[int], markup: Kind) -> set[int]:
    """Return the lines from an end inwards, as far as they repeat, with blank ones and rules between them."""
    taken: list[int] = []
    whole = 0
    for number in order:
        line = lines[number]
        key = line_key(line) if number not in gone else None
        if number in gone or (key in keys and _may_go(line, markup)):
            taken.append(number)
            whole = len(taken)
        elif _words(line):
            break
        else:
            taken.append(number)
    return set(taken[:whole])


def _may_go(line: str, markup: Kind) -> bool:
    if not all(map(is_page_mark, marks_of(line))):
        return False  # a heading, or an end of code or of a table
    if markup is Kind.CODE:
        return _COMMENT.match(line) is not None
    return not (markup is Kind.MARKDOWN and line.lstrip().startswith(("#", "|", "```", "~~~")))


def _at_pages(lines: list[str], pages: list[tuple[int, int]]) -> set[int]:
    """Return the lines at the ends of pages that stand there on most of them (rule 3)."""
    if len(pages) < _FEWEST_PAGES:
        return set()
    places: dict[tuple[object, ...], dict[int, int]] = {}
    for page, (start, stop) in enumerate(pages):
        filled = [number for number in range(start, stop) if plain(lines[number]).strip()]
        top = filled[:_DEEP_IN_PAGE]
        for end, chosen in (("top", top), ("bottom", filled[len(top) :][-_DEEP_IN_PAGE:])):
            for number in chosen:
                for sort in _sorts(lines[number], page):
                    places.setdefault((end, *sort), {})[page] = number
    least = _SHARE_OF_PAGES * len(pages)
    often = (numbers.values() for numbers in places.values() if len(numbers) >= least)
    return {number for numbers in often for number in numbers if all(map(is_page_mark, marks_of(lines[number])))}


def _sorts(line: str, page: int) -> Iterator[tuple[object, ...]]:
    """Yield what the same line would be on another page: itself, and what counts the pages."""
    words = " ".join(plain(line).split()).casefold()
    if len(words) <= _LONGEST:
        yield (words,)
        numbers = _NUMBER.findall(words)
        if numbers:
            form = _NUMBER.sub("0", words)
            yield form, "first", int(numbers[0]) - page
            yield form, "last", int(numbers[-1]) - page
