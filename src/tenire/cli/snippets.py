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

from tenire.cli.output import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["excerpt", "query_pattern", "show_hits"]

_LENGTH = 320
_ALSO_SHOWN = 3
_WORD = re.compile(r"\w+")
# Words that would be marked on every line and tell nothing.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can do does for from how i in is it my not of on or that the this to was what "
        "when where which who why with without you your",
    )
)


def query_pattern(query: str) -> re.Pattern[str] | None:
    """Return what to highlight: words that begin like the words of the query, or ``None``."""
    words = {word for word in _WORD.findall(query.casefold()) if len(word) > 1}
    words = words - _COMMON or words
    if not words:
        return None
    # Long words also in their inflections: cancel, cancelled, cancelling.
    parts = [re.escape(word) + (r"\w*" if len(word) > 3 else r"\b") for word in sorted(words, key=len, reverse=True)]
    return re.compile(rf"\b(?:{'|'.join(parts)})", re.IGNORECASE)


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
        # textwrap and not the console's own wrapping: piped text is readable too.
        body = Text("\n".join(textwrap.wrap(excerpt(hit.text, pattern), 76 - digits, break_on_hyphens=False)))
        if pattern is not None:
            body.highlight_regex(pattern, "bold yellow")
        places = [clean(place) for place in hit.also]
        lines: list[RenderableType] = [body]
        lines += [Text(f"also in {place}", style="dim") for place in places[:_ALSO_SHOWN]]
        if len(places) > _ALSO_SHOWN:
            lines.append(Text(f"and in {len(places) - _ALSO_SHOWN} more places", style="dim"))
        yield head
        yield Padding(Group(*lines), (0, 0, 0, digits + 2))
