"""Rows from JSON lines: one object a line, in UTF-8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tenire.pipeline.rows.records import BrokenRow, content_hash, row_or_broken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from tenire.pipeline.rows.records import Row

__all__ = ["DEEPEST_ROW", "LONGEST_ROW", "read_jsonl"]

LONGEST_ROW = 16 << 20
"""Bytes of the longest line that is read; a longer one is passed over and told."""

DEEPEST_ROW = 500
"""Lists and objects of a row within each other; Python gives up at about a thousand, wherever it then is."""

_MARK = b"\xef\xbb\xbf"
_KINDS = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def read_jsonl(path: str) -> Iterator[Row | BrokenRow]:
    """Yield the rows of a file; blank lines are no rows.

    Raises:
        OSError: If it cannot be read.
    """
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with open(path, "rb") as file:
        for number, line, size in _lines(file):
            place = f"line {number}"
            if size > LONGEST_ROW:
                error = f"{place}: a row may have {LONGEST_ROW:,} bytes, got {size:,}"
                yield BrokenRow(path, place, error, content_hash(line), size)
                continue
            text = line.removeprefix(_MARK).strip() if number == 1 else line.strip()
            if not text:
                continue
            try:
                fields = decode(text)
                if text.count(b"[") + text.count(b"{") > DEEPEST_ROW:
                    _require_shallow(fields)
                row = row_or_broken(fields, file=path, place=place, size=size)
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                row = BrokenRow(path, place, f"{place}: {_reason(text, error)}", content_hash(text), size)
            yield row


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Yield number, content and size of each line; of one that is too long, the beginning only."""
    number = 0
    while line := file.readline(LONGEST_ROW + 1):
        number += 1
        size = len(line)
        part = line
        while size > LONGEST_ROW and not part.endswith(b"\n") and (part := file.readline(1 << 20)):
            size += len(part)
        yield number, line, size


def _require_shallow(fields: dict[str, Any]) -> None:
    """Raise ``RecursionError`` for a row that whoever handles it later could not write."""
    level: list[Any] = [fields]
    for _ in range(DEEPEST_ROW):
        inner = (one.values() if isinstance(one, dict) else one for one in level)
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]
        if not level:
            return
    raise RecursionError


def _reason(text: bytes, error: Exception) -> str:
    try:
        value = msgspec.json.decode(text) if not isinstance(error, RecursionError) else None
    except RecursionError as nested:
        error = nested
    except (msgspec.DecodeError, ValueError):
        told = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).rstrip(".")
        return f"not JSON ({told})"
    if isinstance(error, RecursionError):
        return f"expected a JSON object with at most {DEEPEST_ROW} levels, got more"
    return f"expected a JSON object, got {_KINDS.get(type(value), 'a number')}"
