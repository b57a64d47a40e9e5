"""JSON: an array is a list of records, anything else one record.

What is called JSON and is not (comments, trailing commas, several values) is read as
the text that it is: nothing is gained by refusing it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tenire.documents.encoding import decode
from tenire.documents.formats import Kind
from tenire.documents.readers import jsonl
from tenire.documents.readers.reading import Raw, Reading
from tenire.documents.readers.records import block, joined, joined_rows
from tenire.documents.structure import without_marks
from tenire.protocols import About

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.documents.readers.records import Row

__all__ = ["read"]

_BLANK = re.compile(r"[ \t\r\n]*")


def read(raw: Raw) -> Reading:
    """Read JSON as records.

    Raises:
        DocumentError: If it is no text, or too long as one.
    """
    text = without_marks(decode(raw.data, source=raw.source))
    about = About("json")
    start = _after_blank(text, 0)
    try:
        if text[start : start + 1] == "[":
            joined_text, rows = joined_rows(raw, _rows(text, start + 1))
            return Reading(joined_text, about=about, rows=rows)
        return Reading(joined(raw, _parts(json.loads(text))), about=about)
    except (ValueError, RecursionError):
        lines = jsonl.records(text)
        if lines is not None:
            joined_text, rows = joined_rows(raw, lines)
            return Reading(joined_text, about=About("jsonl"), rows=rows)
        return Reading(text, Kind.CODE, about=about)


def _rows(text: str, place: int) -> Iterator[Row]:
    """Yield the elements of an array as blocks, with their lines."""
    line = 1 + text.count("\n", 0, place)
    for value, start, end in _elements(text, place):
        line += text.count("\n", place, start)
        last = line + text.count("\n", start, end)
        yield line, last, block(value)
        line, place = last, end


def _elements(text: str, place: int) -> Iterator[tuple[Any, int, int]]:
    """Yield the elements of an array and where they stand, one at a time: together they take many times their text."""
    decoder = json.JSONDecoder()
    place = _after_blank(text, place)
    if text[place : place + 1] == "]":
        _end(text, place + 1)
        return
    while True:
        start = place
        value, place = decoder.raw_decode(text, start)
        yield value, start, place
        place = _after_blank(text, place)
        mark = text[place : place + 1]
        if mark == "]":
            _end(text, place + 1)
            return
        if mark != ",":
            raise json.JSONDecodeError("expected a comma", text, place)
        place = _after_blank(text, place + 1)


def _end(text: str, place: int) -> None:
    if _after_blank(text, place) != len(text):
        raise json.JSONDecodeError("expected the end", text, place)


def _after_blank(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    return found.end() if found is not None else place


def _parts(value: Any) -> Iterator[str]:
    """Yield the blocks of one value: long lists of records inside of it are blocks of their own."""
    if not isinstance(value, dict):
        yield block(value)
        return
    lists = {key for key, inner in value.items() if isinstance(inner, list) and _are_records(inner)}
    yield block({key: inner for key, inner in value.items() if key not in lists})
    for key in (key for key in value if key in lists):
        for record in value[key]:
            yield block({key: record})


def _are_records(values: list[Any]) -> bool:
    return len(values) > 1 and all(isinstance(value, dict) for value in values)
