"""Rows from tables in text: CSV with a header, in UTF-8; tabs and semicolons are found out."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from tenire.errors import ConfigError
from tenire.pipeline.rows.records import BrokenRow, content_hash, row_or_broken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.pipeline.rows.records import Row

__all__ = ["read_table"]

_LONGEST_CELL = 16 << 20
_DELIMITERS = ",;\t|"


def read_table(path: str) -> Iterator[Row | BrokenRow]:
    """Yield the rows of a file; the first line names the fields, blank lines are no rows.

    All values are texts. What is not UTF-8, or has more or fewer cells than the
    header, is a broken row.

    Raises:
        ConfigError: If the header names a field twice.
        OSError: If it cannot be read.
    """
    # The limit is the module's own, for all readers, and far too low for documents.
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    # Bytes that are not UTF-8 must spoil one row, not the rest of the file.
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first = file.readline(_LONGEST_CELL)
        file.seek(0)
        reader = csv.reader(file, delimiter=_delimiter(first))
        header = next(reader, None)
        if header is None:
            return
        twice = next((name for name in header if header.count(name) > 1), None)
        if twice is not None:
            message = f"{path}: each column must have a name of its own, got {twice!r} twice"
            raise ConfigError(message, key="source", hint="rename one of them")
        yield from _rows(reader, header, path)


def _rows(reader: Any, header: list[str], path: str) -> Iterator[Row | BrokenRow]:
    while True:
        place = f"line {reader.line_num + 1}"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield BrokenRow(path, place, f"{place}: not a row of CSV ({error})", content_hash(str(error)), 0)
            continue
        if cells is None:
            return
        if not cells:
            continue
        size = sum(map(len, cells)) + len(cells)
        problem = _problem(cells, header)
        if problem:
            yield BrokenRow(path, place, f"{place}: {problem}", content_hash("\0".join(cells)), size)
        else:
            yield row_or_broken(dict(zip(header, cells, strict=True)), file=path, place=place, size=size)


def _problem(cells: list[str], header: list[str]) -> str:
    if len(cells) != len(header):
        return f"expected {len(header)} cells, as in the header, got {len(cells)}"
    if not all(map(_is_text, cells)):
        return "not UTF-8"
    return ""


def _is_text(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True


def _delimiter(header: str) -> str:
    return max(_DELIMITERS, key=header.count)  # the first of them where none is there
