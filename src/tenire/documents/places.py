"""Where passages stand, in words of their document: headings, page, lines."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from tenire.protocols import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.documents.structure import Heading, Structure
    from tenire.documents.windows import Span

__all__ = ["places_of"]

_NOWHERE = Place()
_WORD = re.compile(r"\S")
_NEAR = 64


def places_of(text: str, spans: Sequence[Span], structure: Structure) -> list[Place]:
    """Return the place of each passage.

    A passage stands below the headings before its first word, the headings that it
    begins with included, and on the page of its first word.

    Args:
        text: The cleansed text.
        spans: The passages, in order of their starts.
        structure: Its structure.
    """
    if not structure.headings and not structure.pages and structure.lines is None:
        return [_NOWHERE] * len(spans)
    pages = [start for start, _ in structure.pages]
    headings, lines = structure.headings, structure.lines
    places: list[Place] = []
    path: list[Heading] = []
    titles: tuple[str, ...] = ()
    following = section = line = counted = 0
    for ordinal, (start, end) in enumerate(spans):
        moved = following
        reach = start
        while following < len(headings) and headings[following].start <= reach:
            heading = headings[following]
            following += 1
            if heading.start >= start:
                word = _WORD.search(text, heading.end, heading.end + _NEAR)
                reach = word.start() if word is not None else reach  # a heading right below counts as well
            while path and path[-1].level >= heading.level:
                path.pop()
            path.append(heading)
        if following != moved:
            titles, section = tuple(heading.title for heading in path), ordinal
        page = bisect_right(pages, start)
        in_file = None
        if lines is not None:
            line += text.count("\n", counted, start)
            counted = start
            in_file = lines.first(line), lines.last(line + text.count("\n", start, end))
        places.append(Place(titles, structure.pages[page - 1][1] if page else None, in_file, section))
    return places
