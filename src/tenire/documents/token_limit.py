"""Keeping passages within what an embedder takes in at once.

A tokenizer reads 3 MB/s, and who keeps what it says of words 20 MB/s; everything else
before the embedder takes 30. So tokens are estimated from the number of characters and
of those that are neither letters nor blanks, at 360 MB/s, and counted only where the
estimate comes near the limit. Of 7,600 passages of manuals, source code, JSON and plain
texts, 6 % were longer than MiniLM reads; 460 of those 467 are counted, and of HTML one
passage in eight is. What goes beyond the limit is cut again, into parts of about the
same length, a little smaller than its own number of tokens asks for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tenire.documents.sections import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.documents.structure import Structure
    from tenire.documents.windows import Span

__all__ = ["NEAR", "estimate", "most_characters", "tokens_of", "within_limit"]

_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123)) + b" \n\t"

# Least squares over the passages named above, for a vocabulary of 30,000 word pieces.
_PER_CHARACTER, _PER_OTHER, _AT_LEAST = 0.175, 0.8, 5.0

NEAR = 0.75
"""Part of the limit from which on tokens are counted, where a few too many cost little."""

_SMALLER = 0.9
_EVEN = 1.1
_ROOM = 0.95
_SMALLEST = 16
"""Characters of a passage that is not cut any more, whatever it holds."""


def estimate(text: str) -> float:
    """Return about how many tokens a text has."""
    return _estimate(_ascii(text))


def _ascii(text: str) -> bytes:
    # Each letter that is not ASCII is one "?" then, and one token, as in Chinese.
    return text.encode("ascii", "replace")


def _estimate(data: bytes) -> float:
    return _AT_LEAST + _PER_CHARACTER * len(data) + _PER_OTHER * len(data.translate(None, _LETTERS))


def most_characters(text: str, *, tokens: int, most: int) -> int:
    """Return how long passages of a text may be, so that hardly any has too many tokens.

    Args:
        text: The whole text.
        tokens: Most tokens of a passage.
        most: Most characters of a passage.
    """
    return max(_SMALLEST, min(most, int(_ROOM * tokens * len(text) / estimate(text))))


def tokens_of(
    text: str,
    spans: Sequence[Span],
    *,
    limit: int,
    count: Callable[[list[str]], list[int]] | None,
    counted_from: float = NEAR,
) -> list[float]:
    """Return how many tokens passages have: exactly where that may be more than the limit, else about.

    Args:
        text: The text that they are of.
        spans: The passages.
        limit: The number that matters.
        count: Counts the tokens of texts exactly; ``None`` to go by the estimate.
        counted_from: Part of the limit, by the estimate, from which on they are counted.
    """
    first = spans[0][0] if spans else 0
    data = _ascii(text[first : max((end for _, end in spans), default=0)])
    numbers = [_estimate(data[start - first : end - first]) for start, end in spans]
    if count is not None:
        near = [place for place, number in enumerate(numbers) if number > counted_from * limit]
        counted = count([text[slice(*spans[place])] for place in near]) if near else []
        for place, number in zip(near, counted, strict=True):
            numbers[place] = number
    return numbers


def within_limit(
    text: str,
    spans: Sequence[Span],
    structure: Structure,
    *,
    limit: int,
    count: Callable[[list[str]], list[int]] | None,
    counted_from: float = NEAR,
    markdown: bool,
) -> list[Span]:
    """Return passages of which none has more tokens than the limit.

    Args:
        text: The text that they are of.
        spans: The passages, in order.
        structure: Its structure.
        limit: Most tokens.
        count: Counts the tokens of texts exactly; ``None`` to go by the estimate.
        counted_from: Part of the limit, by the estimate, from which on they are counted.
        markdown: Whether they are cut by Markdown's structure as well.

    Returns:
        The passages, and the parts of those that were too long. What has hardly any
        characters is kept, however many tokens each of them takes.
    """
    kept: list[Span] = []
    numbers = tokens_of(text, spans, limit=limit, count=count, counted_from=counted_from)
    for span, tokens in zip(spans, numbers, strict=True):
        start, end = span
        if tokens <= limit or end - start <= _SMALLEST:
            kept.append(span)
            continue
        number = math.ceil(tokens / (limit * _SMALLER))
        most = max(_SMALLEST, int((end - start) / number * _EVEN))
        parts = parts_of(text, start, end, structure, markdown=markdown, most=most)
        kept += within_limit(
            text, parts, structure, limit=limit, count=count, counted_from=counted_from, markdown=markdown
        )
    return kept
