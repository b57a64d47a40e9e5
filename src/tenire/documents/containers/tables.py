"""Tables of rows that are too large to be held: CSV and JSON Lines, a part of some rows at a time.

Each part ends where a row ends, begins with the header of the whole, and knows on which
line of the file it begins. Parts are called by their number, not by their lines: rows
that are added in front leave most rows in the part in which they were.
"""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING

from tenire.documents.containers.member import Member
from tenire.documents.encoding import decode
from tenire.documents.readers.csv import layout
from tenire.documents.reading import human_size
from tenire.documents.recognition import Format
from tenire.documents.row_lines import Part
from tenire.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["members"]

_PART = 1 << 20
_LONGEST_ROW = 4 << 20
"""Bytes after which a quoted field is one whose end is missing; the part ends with its line."""
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")


def members(stream: BinaryIO, name: str, form: Format, source: str, most: int, *, max_file: int) -> Iterator[Member]:
    """Yield the parts of a table, in its order, named by their number: ``17.csv``.

    Args:
        stream: The table; it need not be able to seek.
        name: Its name, without directories.
        form: ``CSV`` or ``JSONL``.
        source: Its path, for errors.
        most: The most parts that it may have.
        max_file: Longest line, bytes; the part with a longer one cannot be opened.

    Raises:
        DocumentError: Of stage ``unpack``, if it has too many parts, or an encoding in which
            a row has no end that could be found.
    """
    stem, _, suffix = name.lower().rpartition(".")
    suffix = suffix if stem else form.value
    header, separator = b"", ""
    number = line = 0
    while True:
        data, is_cut = _rows(stream, quoted=form is Format.CSV, most=max_file)
        if not data:
            return
        kept = data[: data.rfind(b"\n") + 1] if is_cut else data  # what comes before the line that is too long
        if kept:
            if not number:
                _check(kept, source)
                if form is Format.CSV:
                    separator, lines = layout(decode(kept, source=source), name)
                    header = b"".join(kept.splitlines(keepends=True)[:lines])
            number = _next(number, most, source)
            whole = kept if number == 1 else header + kept
            part = Part(line if number == 1 else line - header.count(b"\n"), separator)
            line += kept.count(b"\n")
            yield Member(f"{number}.{suffix}", len(whole), partial(io.BytesIO, whole), part)
        if is_cut:
            number, line = _next(number, most, source), line + 1
            own = f"{number}.{suffix}"
            yield Member(own, len(data) - len(kept), partial(_refuse, f"{source}!/{own}", line, max_file))
            _skip_line(stream)


def _next(number: int, most: int, source: str) -> int:
    if number >= most:
        raise DocumentError(f"it has more than {most} parts", source=source, stage="unpack", hint="split it")
    return number + 1


def _check(data: bytes, source: str) -> None:
    if data.startswith(_WIDE) or b"\0" in data[:4096]:
        raise DocumentError(
            "a table that is larger than max_file is read in parts, and for that it has to be UTF-8 or another text "
            "of single bytes; it holds NUL bytes",
            source=source,
            stage="unpack",
            hint="convert it to UTF-8, or raise max_file",
        )


def _rows(stream: BinaryIO, *, quoted: bool, most: int) -> tuple[bytes, bool]:
    """Read some bytes, and on to the end of a row; return whether that was given up in a line that is too long."""
    data = stream.read(min(_PART, most))
    if len(data) < min(_PART, most):
        return data, False
    pieces, size = [data], len(data)
    open_quote = quoted and data.count(b'"') % 2 == 1
    ended = data.endswith(b"\n")
    while not ended or (open_quote and size < _PART + _LONGEST_ROW):
        line = stream.readline(most + 1)
        if not line:
            break
        pieces.append(line)
        size += len(line)
        open_quote ^= quoted and line.count(b'"') % 2 == 1
        ended = line.endswith(b"\n")
        if len(line) > most and not ended:
            return b"".join(pieces), True
    return b"".join(pieces), False


def _skip_line(stream: BinaryIO) -> None:
    while (rest := stream.readline(_PART)) and not rest.endswith(b"\n"):
        pass


def _refuse(source: str, line: int, max_file: int) -> BinaryIO:
    raise DocumentError(
        f"its line {line} is longer than max_file ({human_size(max_file)})",
        source=source,
        stage="unpack",
        hint="break the row up, or raise max_file",
    )
