"""All files in a container, and in those inside of it, one after the other.

Files of types that hold no text, hidden ones and those in hidden directories are passed
over, as in a directory. Containers inside of a container are held in memory while they
are walked, so each may be as large as a file; they go a few levels deep.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from tenire.documents.containers import mailbox, tables, tar_archive, zip_archive
from tenire.documents.containers.opening import opened, read_bounded
from tenire.documents.reading import human_size
from tenire.documents.recognition import BROKEN_ZIP, CONTAINERS, HEAD, TABLES, Format, recognise
from tenire.documents.row_lines import WHOLE, Part
from tenire.errors import DocumentError
from tenire.pipeline.skipped_types import holds_no_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.documents.containers.bounds import Expansion
    from tenire.documents.containers.member import Member
    from tenire.documents.containers.opening import Opened

__all__ = ["Leaf", "Leaves"]

_MOST_MEMBERS = 100_000
_MOST_LEVELS = 5
_BROKEN = (*BROKEN_ZIP, tarfile.TarError)


class Leaf(NamedTuple):
    """One file in a container, or what cannot be used of it.

    Attributes:
        number: Its number among all of them, from 0.
        source: ``CONTAINER!/MEMBER``.
        name: Its name without directories.
        data: Its bytes; of one that is passed by, nothing.
        error: Why it cannot be read, or ``None``.
        part: Of a part of a table, what it has from the whole.
    """

    number: int
    source: str
    name: str
    data: bytes
    error: DocumentError | None = None
    part: Part = WHOLE


class Leaves:
    """Walks through one container.

    Args:
        expansion: Where expanded bytes are counted.
        max_file: Largest member that is read, bytes.
        start: Number of the first member that is wanted. Those before it are not read
            further than it takes to recognise them.
        expanded: Bytes that came out of those.
    """

    def __init__(self, expansion: Expansion, *, max_file: int, start: int = 0, expanded: int = 0) -> None:
        self._expansion = expansion
        self._max_file = max_file
        self._start = start
        self._expanded = expanded
        self._next = 0

    def walk(self, container: Opened, source: str) -> Iterator[Leaf]:
        """Yield its files from ``start`` on.

        Args:
            container: The container, opened.
            source: Its path.

        Raises:
            DocumentError: Of stage ``unpack``, if the container is damaged, or it
                expands without end. What came before it is good.
        """
        yield from self._walk(container, source, 1)

    def _walk(self, container: Opened, source: str, level: int) -> Iterator[Leaf]:
        for member in self._members(container, source):
            if self._next >= self._start:
                self._expansion.resume(self._expanded)
            name = posixpath.basename(member.name)
            if holds_no_text(name) or any(part.startswith(".") for part in member.name.split("/")):
                continue
            path = f"{source}!/{member.name}"
            try:
                inner = self._look(container.form, member, name, path)
            except DocumentError as error:
                if error.source == self._expansion.source:
                    raise  # not this member alone: the whole of it expands without end
                yield from self._numbered(path, name, error)
                continue
            if isinstance(inner, bytes):
                yield from self._numbered(path, name, None, inner, member.part)
            elif level == _MOST_LEVELS:
                message = f"containers are nested more than {_MOST_LEVELS} levels deep"
                too_deep = DocumentError(message, source=path, stage="unpack", hint="unpack it yourself")
                yield from self._numbered(path, name, too_deep)
            else:
                yield from self._nested(inner, path, name, level + 1)

    def _nested(self, inner: Opened, path: str, name: str, level: int) -> Iterator[Leaf]:
        try:
            yield from self._walk(inner, path, level)
        except DocumentError as error:
            if error.source == self._expansion.source:
                raise
            yield from self._numbered(path, name, error)

    def _numbered(
        self, path: str, name: str, error: DocumentError | None, data: bytes = b"", part: Part = WHOLE
    ) -> Iterator[Leaf]:
        number = self._next
        self._next += 1
        if number >= self._start:
            yield Leaf(number, path, name, data, error, part)

    def _members(self, container: Opened, source: str) -> Iterator[Member]:
        if container.form is Format.ZIP:
            return zip_archive.members(container.stream, source, _MOST_MEMBERS)
        if container.form is Format.TAR:
            return tar_archive.members(container.stream, source, _MOST_MEMBERS)
        if container.form in TABLES:
            name = container.name
            return tables.members(
                container.stream, name, container.form, source, _MOST_MEMBERS, max_file=self._max_file
            )
        return mailbox.members(container.stream, source, _MOST_MEMBERS, max_file=self._max_file)

    def _look(self, form: Format, member: Member, name: str, path: str) -> bytes | Opened:
        """Return a member's bytes, or the container that it is."""
        try:
            stream = cast("BinaryIO", _Counted(member.open(), self._expansion)) if form is Format.ZIP else member.open()
            if form is Format.MBOX or form in TABLES:
                return stream.read()
            head = stream.read(HEAD)
            if self._next < self._start and self._is_plain(name, head, path):
                return b""
            if member.size > self._max_file:
                raise DocumentError(
                    f"it is {human_size(member.size)}, larger than max_file ({human_size(self._max_file)})",
                    source=path,
                    stage="unpack",
                    hint="split it, or raise max_file",
                )
            data = head + read_bounded(stream, source=path, max_file=self._max_file - len(head))
        except _BROKEN as error:
            raise DocumentError(
                f"it cannot be unpacked: {error}",
                source=path,
                stage="unpack",
                hint="its container is damaged; get that again, or leave it out",
            ) from error
        if self._is_plain(name, head, path):
            return data
        inner = opened(io.BytesIO(data), name, source=path, expansion=self._expansion, max_file=self._max_file)
        return inner if inner.form in CONTAINERS else data

    @staticmethod
    def _is_plain(name: str, head: bytes, path: str) -> bool:
        """Whether it certainly is no container, nor one that is compressed."""
        try:
            return recognise(name, head, source=path) in _NO_CONTAINERS
        except DocumentError:
            return True  # whoever reads it will say why not


_NO_CONTAINERS = frozenset(Format) - CONTAINERS - {Format.GZIP, Format.BZIP2, Format.XZ, Format.ZSTD}


class _Counted:
    """A member of an archive, whose bytes count as they come."""

    def __init__(self, stream: BinaryIO, expansion: Expansion) -> None:
        self._stream = stream
        self._expansion = expansion

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._expansion.add(len(data))
        return data
