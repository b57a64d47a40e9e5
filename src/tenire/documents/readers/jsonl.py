"""JSON Lines: one record a line. A line that is none stays as it is, as long as most are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tenire.documents.encoding import decode
from tenire.documents.readers.reading import Raw, Reading
from tenire.documents.readers.records import block, joined_rows
from tenire.documents.structure import without_marks
from tenire.protocols import About

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.documents.readers.records import Row

__all__ = ["read", "records"]

_LOOKED_AT = 20


def read(raw: Raw) -> Reading:
    """Read JSON Lines as records, or as the text that it is.

    Raises:
        DocumentError: If it is no text, or too long as one.
    """
    text = without_marks(decode(raw.data, source=raw.source))
    blocks = records(text)
    if blocks is None:
        return Reading(text, about=About("jsonl"), lines=not raw.part.lines)
    joined, lines = joined_rows(raw, blocks)
    return Reading(joined, about=About("jsonl"), rows=lines)


def records(text: str) -> Iterator[Row] | None:
    """Return the blocks of a text of JSON Lines, or ``None`` if it is something else."""
    good = bad = 0
    for _, line in _lines(text):
        if _parsed(line) is None:
            bad += 1
        else:
            good += 1
        if good + bad == _LOOKED_AT:
            break
    return _blocks(text) if good > bad else None


def _blocks(text: str) -> Iterator[Row]:
    for number, line in _lines(text):
        value = _parsed(line)
        yield number, number, line if value is None else block(value)


def _parsed(line: str) -> dict[str, object] | list[object] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines that are not blank and their numbers, from 1, without a list of all of them."""
    start = number = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end].strip()
        number += 1
        if line:
            yield number, line
        start = end + 1
