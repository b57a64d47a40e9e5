"""Passages that begin with the end of the one before, for those who ask for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenire.documents.windows import Span

__all__ = ["overlapping"]

_SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=\S)|\n+\s*(?=\S)")
_WORD = re.compile(r"\s+(?=\S)")


def overlapping(text: str, spans: Sequence[Span], *, most: int, starts: Sequence[int] = ()) -> list[Span]:
    """Let each passage begin with whole sentences of the one before, or words where a sentence is too long.

    Args:
        text: The text that they are of.
        spans: The passages, in order.
        most: Most characters that two passages share.
        starts: Where sections begin, ascending; nothing is taken from another section.
    """
    widened: list[Span] = []
    following = 0
    floor = 0
    for place, (start, end) in enumerate(spans):
        while following < len(starts) and starts[following] <= start:
            floor = starts[following]
            following += 1
        if place:
            # Of the passage before as it was cut: it may itself have been widened.
            start = _earlier(text, max(spans[place - 1][0], floor, start - most), start)
        widened.append((start, end))
    return widened


def _earlier(text: str, floor: int, start: int) -> int:
    """Return the first place from ``floor`` on, and before ``start``, where a sentence begins, or a word."""
    for boundary in (_SENTENCE, _WORD):
        found = boundary.search(text, max(0, floor - 1), start)
        if found is not None and floor <= found.end() < start:
            return found.end()
    return start
