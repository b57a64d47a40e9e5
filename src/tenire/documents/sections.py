"""Which stretches of a text become passages, by its headings, pages, code and tables.

1. A section that fits is one passage, or a part of one.
2. In a section that does not fit, code and tables that fit stay whole, and the text
   between them is cut at its own boundaries. A heading stays with what follows it, and
   so does a scrap: a line that was left over is nothing to be found.
3. A passage goes on into the next section only while it is short: a passage about two
   things is found by neither, and one that is only a line says too little.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from tenire.documents.windows import split, trimmed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.documents.structure import Heading, Structure
    from tenire.documents.windows import Span

__all__ = ["parts_of", "passages_of", "section_starts"]

_SHORT = 0.25
"""Part of the size up to which a passage goes on into the next section."""
_SCRAP = 0.1
"""Part of the size below which a passage is a scrap."""
_EVEN = 1.15
"""By how much pieces of a stretch may be longer than its even parts."""


def passages_of(text: str, structure: Structure, *, markdown: bool, most: int) -> list[Span]:
    """Return what becomes a passage each, in order; between them lies only blank space.

    Args:
        text: The cleansed text.
        structure: Its structure.
        markdown: Whether stretches of text are cut by Markdown's structure as well.
        most: Most characters of a passage.
    """
    if not (structure.headings or structure.blocks or structure.pages):
        return split(text, 0, len(text), markdown=markdown, most=most)
    starts = section_starts(text, structure)
    passages: list[Span] = []
    for start, stop in zip(starts, [*starts[1:], len(text)], strict=True):
        section = trimmed(text, start, stop)
        if section is None:
            continue
        begin, end = section
        last = passages[-1] if passages else None
        if last is not None and last[1] - last[0] < _SHORT * most and end - last[0] <= most:
            passages[-1] = last[0], end
        elif end - begin <= most:
            passages.append(section)
        else:
            passages += parts_of(text, begin, end, structure, markdown=markdown, most=most)
    return passages


def section_starts(text: str, structure: Structure) -> list[int]:
    """Return where sections and pages begin; a heading right below another one begins none."""
    starts = [0]
    below = -1
    for heading in structure.headings:
        if heading.start > starts[-1] and (below < 0 or text[below : heading.start].strip()):
            starts.append(heading.start)
        below = heading.end
    if structure.pages:
        starts = sorted({*starts, *(start for start, _ in structure.pages)})
    return starts


def parts_of(text: str, start: int, stop: int, structure: Structure, *, markdown: bool, most: int) -> list[Span]:
    """Cut a stretch that does not fit; what is next to each other and fits together stays together."""
    parts: list[Span] = []
    for begin, end in _units(text, start, stop, structure, markdown=markdown, most=most):
        if parts and end - parts[-1][0] <= most:
            parts[-1] = parts[-1][0], end
        else:
            parts.append((begin, end))
    return _without_scraps(text, parts, structure, markdown=markdown, most=most)


def _without_scraps(text: str, parts: list[Span], structure: Structure, *, markdown: bool, most: int) -> list[Span]:
    """Divide each scrap anew together with what follows it, or the last one with what goes before."""
    kept: list[Span] = []
    following = iter(parts)
    for begin, end in following:
        heading = _is_heading(structure, begin, end)
        if not (heading or end - begin < _SCRAP * most) or 2 * (end - begin) > most:
            kept.append((begin, end))
            continue
        after = next(following, None)
        if after is not None and (heading or not _holds_block(structure, after)):
            kept += _divided(text, begin, after[0], after[1], markdown=markdown, most=most)
        elif after is None and kept and not _holds_block(structure, kept[-1]):
            first = kept.pop()[0]
            kept += _divided(text, first, _heading_end(text, structure, first, end), end, markdown=markdown, most=most)
        else:
            kept += [(begin, end)] if after is None else [(begin, end), after]
    return kept


def _divided(text: str, begin: int, head: int, stop: int, *, markdown: bool, most: int) -> list[Span]:
    """Cut a stretch into pieces of about the same length, the first of which ends behind ``head``."""
    number = -((begin - stop) // most)
    size = min(most, int(_EVEN * (stop - begin) / number))
    first, *others = split(text, head, stop, markdown=markdown, most=max(1, size - (head - begin)))
    return [(begin, first[1]), *others]


def _heading_end(text: str, structure: Structure, start: int, stop: int) -> int:
    """Return where the text behind a heading at ``start`` begins, or ``start`` if there is none."""
    place = bisect_left(structure.headings, start, key=_start)
    if place == len(structure.headings) or structure.headings[place].start != start:
        return start
    below = trimmed(text, structure.headings[place].end, stop)
    return start if below is None else below[0]


def _holds_block(structure: Structure, span: Span) -> bool:
    """Whether a stretch holds code or a table that was kept whole."""
    place = bisect_left(structure.blocks, (span[0], 0))
    return place < len(structure.blocks) and structure.blocks[place][1] <= span[1]


def _units(text: str, start: int, stop: int, structure: Structure, *, markdown: bool, most: int) -> Iterator[Span]:
    blocks = structure.blocks
    place = start
    for number in range(bisect_left(blocks, (start, 0)), len(blocks)):
        if blocks[number][1] > stop:
            break
        block = trimmed(text, *blocks[number])
        if block is None:
            continue
        begin, end = block
        if end - begin > most:
            continue  # it is cut with what is around it
        yield from split(text, place, begin, markdown=markdown, most=most)
        yield begin, end
        place = end
    yield from split(text, place, stop, markdown=markdown, most=most)


def _is_heading(structure: Structure, start: int, stop: int) -> bool:
    """Whether a stretch is nothing but the heading at its start."""
    headings = structure.headings
    place = bisect_left(headings, start, key=_start)
    return place < len(headings) and headings[place].start == start and stop <= headings[place].end


def _start(heading: Heading) -> int:
    return heading.start
