"""What is inside of a file, with the compression around it taken off."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from tenire.documents.containers.compressed import Expanded, inner_name
from tenire.documents.reading import human_size
from tenire.documents.recognition import COMPRESSED, HEAD, Format, recognise, zip_format
from tenire.errors import DocumentError

if TYPE_CHECKING:
    from tenire.documents.containers.bounds import Expansion

__all__ = ["Opened", "opened", "read_bounded"]

_MOST_LAYERS = 4
_BUFFER = 1 << 18


class Opened(NamedTuple):
    """A file, opened as far as its own format.

    Attributes:
        form: Its format.
        name: Its name without the suffixes of what was taken off.
        stream: Its bytes, from the beginning. It can seek, unless something was taken off.
        packed: Whether something was taken off.
    """

    form: Format
    name: str
    stream: BinaryIO
    packed: bool


def opened(stream: BinaryIO, name: str, *, source: str, expansion: Expansion, max_file: int) -> Opened:
    """Find out what a file is, below what it is compressed with.

    Args:
        stream: The file; it can seek and stands at its beginning.
        name: Its name, without directories.
        source: Its path, for errors.
        expansion: Where expanded bytes are counted.
        max_file: Largest archive inside of a compression that is held in memory, bytes.

    Raises:
        DocumentError: If it cannot be read, expanded, or is compressed too many times.
    """
    head = stream.read(HEAD)
    stream.seek(0)
    packed = False
    for _ in range(_MOST_LAYERS):
        form = recognise(name, head, source=source)
        if form not in COMPRESSED:
            break
        buffered = io.BufferedReader(Expanded(stream, form, expansion, source), _BUFFER)
        stream, name, packed = cast("BinaryIO", buffered), inner_name(name), True
        head = buffered.peek(HEAD)[:HEAD]
    else:
        raise DocumentError(
            f"it is compressed more than {_MOST_LAYERS} times", source=source, stage="unpack", hint="unpack it yourself"
        )
    if form is Format.ZIP:
        if packed:
            stream = io.BytesIO(read_bounded(stream, source=source, max_file=max_file))
        form = zip_format(stream, name)
        stream.seek(0)
    return Opened(form, name, stream, packed)


def read_bounded(stream: BinaryIO, *, source: str, max_file: int) -> bytes:
    """Read a stream to its end.

    Raises:
        DocumentError: Of stage ``unpack``, if it is longer than ``max_file`` bytes.
    """
    parts = []
    left = max_file + 1
    while left and (part := stream.read(min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    if not left:
        raise DocumentError(
            f"it is larger than max_file ({human_size(max_file)}) once it is unpacked",
            source=source,
            stage="unpack",
            hint="split it, or raise max_file",
        )
    return parts[0] if len(parts) == 1 else b"".join(parts)
