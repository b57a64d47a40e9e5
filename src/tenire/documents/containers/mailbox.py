"""Mailboxes: many messages in one file, each after a line that begins with ``From ``."""

from __future__ import annotations

import io
import re
from functools import partial
from typing import TYPE_CHECKING

from tenire.documents.containers.member import Member
from tenire.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["members"]

_LINE = 1 << 20
# Anybody may begin a paragraph with "From "; the line that parts messages ends with a date.
_SEPARATOR = re.compile(rb"From \S.*\d{4}\b[^\r\n]{0,12}\r?\n")
_QUOTED = re.compile(rb"^>(>*From )", re.M)


def members(stream: BinaryIO, source: str, most: int, *, max_file: int) -> Iterator[Member]:
    """Yield the messages of a mailbox, in its order, named by their number: ``17.eml``.

    Args:
        stream: The mailbox.
        source: Its path, for errors.
        most: The most messages that it may have.
        max_file: Largest message, bytes; a larger one cannot be opened.

    Raises:
        DocumentError: Of stage ``unpack``, if it has too many messages.
    """
    number = 0
    lines: list[bytes] = []
    size = 0
    after_blank = True
    begun = False
    while line := stream.readline(_LINE):
        if after_blank and line.startswith(b"From ") and _SEPARATOR.match(line):
            if begun:
                number += 1
                yield _message(number, lines, size, source, max_file)
            if number >= most:
                raise DocumentError(f"it has more than {most} messages", source=source, stage="unpack", hint="split it")
            lines, size, begun = [], 0, True
        elif begun or line.strip():
            # A mailbox that was cut at its beginning starts in the middle of a message.
            begun = True
            size += len(line)
            if size <= max_file:
                lines.append(line)
        after_blank = not line.strip(b"\r\n")
    if begun:
        yield _message(number + 1, lines, size, source, max_file)


def _message(number: int, lines: list[bytes], size: int, source: str, max_file: int) -> Member:
    name = f"{number}.eml"
    if size > max_file:
        return Member(name, size, partial(_refuse, f"{source}!/{name}", max_file))
    data = _QUOTED.sub(rb"\1", b"".join(lines).rstrip(b"\r\n") + b"\n")
    return Member(name, len(data), partial(io.BytesIO, data))


def _refuse(source: str, max_file: int) -> BinaryIO:
    raise DocumentError(
        f"the message is larger than max_file ({max_file} bytes)", source=source, stage="unpack", hint="raise max_file"
    )
