"""Hits for people: rank, score, source, and the part of the passage that answers.

A passage may be a page long. What is shown is the window with the most
different words of the query in it; the whole passage is in ``--json``.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from tenire.app.highlights import query_pattern
from tenire.cli.output import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["excerpt", "show_hits"]

_LENGTH = 320
_ALSO_SHOWN = 3


def excerpt(text: str, pattern: re.Pattern[str] | None, *, length: int = _LENGTH) -> str:
    """Return the most telling part of a passage, on one line.

    Args:
        text: The passage.
        pattern: What to look for, from ``query_pattern``.
        length: Most characters to return, marks of omission not counted.
    """
    flat = clean(" ".join(text.split()))
    if len(flat) <= length:
        return flat
    hits = [(match.start(), match[0].casefold()) for match in pattern.finditer(flat)] if pattern else []
    best, start = 0, 0
    left = 0
    for right, (place, word) in enumerate(hits):
        # One word alone may be longer than the window.
        while left < right and place + len(word) - hits[left][0] > length:
            left += 1
        different = len({found for _, found in hits[left : right + 1]})
        if different > best:
            # Some words before the first hit, so that it can be understood.
            best, start = different, max(0, hits[left][0] - length // 5)
    start = min(start, len(flat) - length)
    if start > 0:
        start = flat.find(" ", start - 1, start + 40) + 1 or start
    end = min(len(flat), start + length)
    if end < len(flat):
        end = max(flat.rfind(" ", start + length // 2, end), start + length // 2)
    return ("… " if start else "") + flat[start:end].rstrip() + (" …" if end < len(flat) else "")


def show_hits(hits: Sequence[Any], query: str) -> Iterable[RenderableType]:
    """Return the hits as renderables, best first.

    Args:
        hits: Records with ``source``, ``text``, ``score`` and ``also``.
        query: What was looked for.
    """
    pattern = query_pattern(query)
    digits = len(str(len(hits)))
    for rank, hit in enumerate(hits, start=1):
        if rank > 1:
            yield ""
        head = Text.assemble(
            (f"{rank:>{digits}}", "cyan"), "  ", (f"{hit.score:.3f}", "dim"), "  ", (clean(hit.source), "bold")
        )
        lines: list[RenderableType] = [Text(place, style="dim")] if (place := _place(hit)) else []
        lines += _body(hit, pattern, 76 - digits)
        places = [clean(place) for place in hit.also]
        lines += [Text(f"also in {place}", style="dim") for place in places[:_ALSO_SHOWN]]
        if len(places) > _ALSO_SHOWN:
            lines.append(Text(f"and in {len(places) - _ALSO_SHOWN} more places", style="dim"))
        yield head
        yield Padding(Group(*lines), (0, 0, 0, digits + 2))


def _body(hit: Any, pattern: re.Pattern[str] | None, width: int) -> list[RenderableType]:
    """Return the telling part of the passage, or all of it between its neighbours, marked with a bar."""
    if hit.context is None:
        # textwrap and not the console's own wrapping: piped text is readable too.
        body = Text("\n".join(textwrap.wrap(excerpt(hit.text, pattern), width, break_on_hyphens=False)))
        return [_marked(body, pattern)]
    text, start, end = hit.context.text, hit.context.start, hit.context.end
    return [
        Text(_wrapped(text[:start], width - 2, "  "), style="dim"),
        _marked(Text(_wrapped(text[start:end], width - 2, "> ")), pattern),
        Text(_wrapped(text[end:], width - 2, "  "), style="dim"),
    ]


def _wrapped(text: str, width: int, mark: str) -> str:
    lines = []
    for line in text.splitlines():
        lines += textwrap.wrap(clean(line), width, break_on_hyphens=False) or [""]
    return "\n".join(f"{mark}{line}".rstrip() for line in lines)


def _marked(text: Text, pattern: re.Pattern[str] | None) -> Text:
    if pattern is not None:
        text.highlight_regex(pattern, "bold yellow")
    return text


def _place(hit: Any) -> str:
    """Return title, headings and place on one line; empty where nothing is known."""
    title = [hit.title] if hit.title and hit.title not in hit.headings else []
    facts = [" > ".join([*title, *hit.headings])]
    if hit.page is not None:
        facts.append(f"page {hit.page}")
    if hit.lines is not None:
        first, last = hit.lines
        facts.append(f"line {first}" if first == last else f"lines {first} to {last}")
    facts += [hit.author, hit.date, hit.language]
    return ", ".join(clean(fact) for fact in facts if fact)
