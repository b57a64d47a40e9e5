"""Cutting a cleansed text into passages with exact places.

The splitter finds the best boundaries, but two of its costs grow with the square
of the text it is given (places of characters, and one long line: 5 MB/s at
64 KB, 0.7 MB/s at 200 KB). So it sees a window at a time. The last passage of a
window is not taken: the next window begins where that passage begins, and so
windows leave no seams.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from tenire.documents.formats import Kind
from tenire.errors import MissingExtraError
from tenire.protocols import Passage

if TYPE_CHECKING:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

__all__ = ["cut"]

_WINDOW = 16_384
_WORD = re.compile(r"\S")


def cut(text: str, *, kind: Kind, max_passage: int) -> tuple[Passage, ...]:
    """Cut a text at its own boundaries: headings, paragraphs, sentences, words.

    Args:
        text: The cleansed text.
        kind: Markdown is cut by its structure, everything else by its lines
            and sentences.
        max_passage: Most characters of a passage.

    Returns:
        Passages in order, none empty, none overlapping. ``text[start:end]`` is
        the passage, and only blank space lies between them: nothing is lost.

    Raises:
        MissingExtraError: If semantic-text-splitter is not installed.
    """
    splitter = _splitter(kind is Kind.MARKDOWN, max_passage)
    window = max(_WINDOW, 4 * max_passage)
    passages: list[Passage] = []
    start = 0
    while (word := _WORD.search(text, start)) is not None:
        start = word.start()
        end = _window_end(text, start, window)
        places = _places(splitter.chunk_indices(text[start:end]), start)
        if end < len(text) and len(places) > 1:
            end = places.pop()[0]
        for begin, piece in places:
            passages.append(Passage(len(passages), begin, begin + len(piece), piece))
        start = end
    return tuple(passages)


def _places(chunks: list[tuple[int, str]], offset: int) -> list[tuple[int, str]]:
    """Trim pieces by Python's idea of blank space and give them their places in the text."""
    places = []
    for index, chunk in chunks:
        piece = chunk.lstrip()
        begin = offset + index + len(chunk) - len(piece)
        piece = piece.rstrip()
        if piece:
            places.append((begin, piece))
    return places


def _window_end(text: str, start: int, window: int) -> int:
    """End a window at an empty line, a line or a blank in its second half, where there is one."""
    end = start + window
    if end >= len(text):
        return len(text)
    half = start + window // 2
    for boundary in ("\n\n", "\n", " "):
        found = text.rfind(boundary, half, end)
        if found >= 0:
            return found + len(boundary)
    return end


@lru_cache(maxsize=8)
def _splitter(markdown: bool, max_passage: int) -> MarkdownSplitter | TextSplitter:
    try:
        from semantic_text_splitter import MarkdownSplitter, TextSplitter
    except ImportError as error:
        raise MissingExtraError("cutting documents", extra="data", missing="semantic-text-splitter") from error
    return MarkdownSplitter(max_passage) if markdown else TextSplitter(max_passage)
