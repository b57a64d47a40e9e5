"""Cutting a stretch of text at its own boundaries: paragraphs, sentences, words.

The splitter finds the best boundaries, but two of its costs grow with the square
of the text it is given (places of characters, and one long line: 5 MB/s at
64 KB, 0.7 MB/s at 200 KB). So it sees a window at a time. The last piece of a
window is not taken: the next window begins where that piece begins, and so
windows leave no seams.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from tenire.errors import MissingExtraError

if TYPE_CHECKING:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

__all__ = ["Span", "split", "trimmed"]

Span = tuple[int, int]
"""Offsets of the first character and after the last one."""

_WINDOW = 16_384
_WORD = re.compile(r"\S")


def split(text: str, start: int, stop: int, *, markdown: bool, most: int) -> list[Span]:
    """Cut a stretch of a text.

    Args:
        text: The text.
        start: Offset of the stretch.
        stop: Offset after it.
        markdown: Whether it is cut by Markdown's structure as well.
        most: Most characters of a piece.

    Returns:
        Pieces in order, none empty, none overlapping, without blank space at their
        ends; only blank space lies between them.

    Raises:
        MissingExtraError: If semantic-text-splitter is not installed.
    """
    splitter = _splitter(markdown, most)
    window = max(_WINDOW, 4 * most)
    pieces: list[Span] = []
    while (word := _WORD.search(text, start, stop)) is not None:
        start = word.start()
        end = _window_end(text, start, stop, window)
        found = _spans(splitter.chunk_indices(text[start:end]), start)
        if end < stop and len(found) > 1:
            end = found.pop()[0]
        pieces += found
        start = end
    return pieces


def trimmed(text: str, start: int, stop: int) -> Span | None:
    """Return a stretch without the blank space at its ends, or ``None`` if it is nothing else."""
    piece = text[start:stop]
    inner = piece.lstrip()
    if not inner:
        return None
    start += len(piece) - len(inner)
    return start, start + len(inner.rstrip())


def _spans(chunks: list[tuple[int, str]], offset: int) -> list[Span]:
    """Trim pieces by Python's idea of blank space and give them their places in the text."""
    found = []
    for index, chunk in chunks:
        piece = chunk.lstrip()
        begin = offset + index + len(chunk) - len(piece)
        piece = piece.rstrip()
        if piece:
            found.append((begin, begin + len(piece)))
    return found


def _window_end(text: str, start: int, stop: int, window: int) -> int:
    """End a window at an empty line, a line or a blank in its second half, where there is one."""
    end = start + window
    if end >= stop:
        return stop
    half = start + window // 2
    for boundary in ("\n\n", "\n", " "):
        found = text.rfind(boundary, half, end)
        if found >= 0:
            return found + len(boundary)
    return end


@lru_cache(maxsize=32)
def _splitter(markdown: bool, most: int) -> MarkdownSplitter | TextSplitter:
    try:
        from semantic_text_splitter import MarkdownSplitter, TextSplitter
    except ImportError as error:
        raise MissingExtraError("cutting documents", extra="data", missing="semantic-text-splitter") from error
    return MarkdownSplitter(most) if markdown else TextSplitter(most)
