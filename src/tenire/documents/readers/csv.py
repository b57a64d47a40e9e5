"""CSV and its relatives: separated by comma, semicolon, tab or bar, with a header or without."""

from __future__ import annotations

import csv
import io
from itertools import chain, islice
from typing import TYPE_CHECKING, Protocol

from tenire.documents.encoding import decode
from tenire.documents.readers.reading import Raw, Reading
from tenire.documents.readers.records import block, joined_rows
from tenire.documents.structure import without_marks
from tenire.protocols import About

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.documents.readers.records import Row

__all__ = ["layout", "read"]

_SAMPLE = 20
_SEPARATORS = ",;\t|"
_BY_SUFFIX = {"tsv": "\t", "tab": "\t", "psv": "|"}


class _Rows(Protocol):
    """What ``csv.reader`` returns."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


def read(raw: Raw) -> Reading:
    """Read a table as records: ``column: value`` where it has a header, the values of a row otherwise.

    Raises:
        DocumentError: If it is no text, or too long as one.
    """
    text = without_marks(decode(raw.data, source=raw.source))
    separator = raw.part.separator or _separator(text, raw.name)
    about = About("tsv" if separator == "\t" else "csv")
    if separator is None:
        return Reading(text, about=about, lines=not raw.part.lines)
    # A field may be as long as the file is; the limit of the module is one for the whole process.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        text, lines = joined_rows(raw, _blocks(rows))
        return Reading(text, about=about, rows=lines)
    except csv.Error:
        return Reading(text, about=about, lines=not raw.part.lines)


def layout(text: str, name: str) -> tuple[str, int]:
    """Return what separates the columns of a table, and how many lines its header has.

    Args:
        text: The beginning of the table, some whole rows.
        name: Its name, without directories.

    Returns:
        An empty string if there is no separator; no lines if there is no header.
    """
    separator = _separator(text, name)
    if separator is None:
        return "", 0
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        first = next(rows, [])
        lines = rows.line_num
        return separator, lines if _is_header([first, next(rows, [])]) else 0
    except csv.Error:
        return separator, 0


def _blocks(rows: _Rows) -> Iterator[Row]:
    numbered = _numbered(rows)
    first = list(islice(numbered, 2))
    if not first:
        return
    if _is_header([row for _, _, row in first]):
        names = [name.strip() or f"column {number}" for number, name in enumerate(first[0][2], 1)]
        for begin, end, row in chain(first[1:], numbered):
            spare = [f"column {number}" for number in range(len(names) + 1, len(row) + 1)]
            yield begin, end, block(dict(zip([*names, *spare], row, strict=False)))
    else:
        for begin, end, row in chain(first, numbered):
            yield begin, end, block([row])


def _numbered(rows: _Rows) -> Iterator[tuple[int, int, list[str]]]:
    last = 0
    for row in rows:
        first, last = last + 1, rows.line_num
        yield first, last, row


def _is_header(rows: list[list[str]]) -> bool:
    """Whether the first row names the columns: all different, none a number, and there is more."""
    names = [name.strip() for name in rows[0]]
    filled = [name for name in names if name]
    return (
        len(rows) > 1
        and len(names) > 1
        and len(filled) * 2 > len(names)
        and len(set(filled)) == len(filled)
        and not any(_is_number(name) for name in filled)
    )


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _separator(text: str, name: str) -> str | None:
    """Return what separates columns: the sign that most lines have equally often; ``None`` if there is none."""
    named = _BY_SUFFIX.get(name.lower().rpartition(".")[2])
    if named is not None:
        return named
    head = text[: 64 << 10]
    best, most = None, 0
    for separator in _SEPARATORS:
        try:
            widths = [
                len(row) for row in islice(csv.reader(io.StringIO(head, newline=""), delimiter=separator), _SAMPLE)
            ]
        except csv.Error:
            continue
        usual = max(set(widths), key=widths.count, default=1)
        found = widths.count(usual) * min(usual, 10)
        if usual > 1 and found > most:
            best, most = separator, found
    return best
