"""Records as text: one line a field, one block a record.

Nested values become dotted names: ``{"a": {"b": 1}}`` is ``a.b: 1``. Empty values say
nothing and are left out. Blocks are kept apart by an empty line, so a value has none.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tenire.documents.readers.reading import too_long
from tenire.documents.row_lines import RowLines
from tenire.documents.structure import without_marks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tenire.documents.readers.reading import Raw

__all__ = ["Row", "block", "joined", "joined_rows"]

_EMPTY_LINES = re.compile(r"\s*\n\s*\n\s*")
_DEEP = 12

Row = tuple[int, int, str]
"""The first and the last line of a record in its file, from 1, and its block."""


def block(record: Any) -> str:
    """Return one record as lines of ``field: value``; a record that is no mapping is its own line.

    Args:
        record: What JSON, or a row of a table, can hold.
    """
    return "\n".join(_lines(record, "", 0))


def joined(raw: Raw, blocks: Iterable[str]) -> str:
    """Return blocks as one text.

    Raises:
        DocumentError: If it gets longer than a document may be.
    """
    kept: list[str] = []
    length = 0
    for each in blocks:
        if each:
            length += len(each) + 2
            if length > raw.max_text:
                raise too_long(raw)
            kept.append(each)
    return without_marks("\n\n".join(kept))


def joined_rows(raw: Raw, rows: Iterable[Row]) -> tuple[str, RowLines]:
    """Return the blocks of records as one text, and where in the file they were.

    Raises:
        DocumentError: If it gets longer than a document may be.
    """
    lines = RowLines(raw.part.lines)

    def noted() -> Iterator[str]:
        start = 0
        for first, last, each in rows:
            if "\r" in each:  # its breaks are counted as those of the text will be
                each = each.replace("\r\n", "\n").replace("\r", "\n")
            if each:
                lines.note(start, first, last)
                start += each.count("\n") + 2
            yield each

    return joined(raw, noted()), lines


def _lines(value: Any, name: str, depth: int) -> Iterator[str]:
    if isinstance(value, dict) and depth < _DEEP:
        for key, inner in value.items():
            yield from _lines(inner, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, list | tuple) and depth < _DEEP:
        if any(isinstance(inner, dict | list | tuple) for inner in value):
            for inner in value:
                yield from _lines(inner, name, depth + 1)
        elif words := ", ".join(filter(None, map(_word, value))):
            yield f"{name}: {words}" if name else words
    elif word := _word(value):
        yield f"{name}: {word}" if name else word


def _word(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        text = value.strip()
        return _EMPTY_LINES.sub("\n", text) if "\n" in text else text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes)" if len(value) else ""
    if isinstance(value, dict | list | tuple):  # deeper than anybody reads
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
