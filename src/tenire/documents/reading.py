"""One file's bytes: opened without ever waiting, bounded, and hashed."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import BinaryIO, NamedTuple

from tenire.errors import DocumentError
from tenire.protocols import SourceFile

__all__ = ["Content", "LargeFile", "TooLargeError", "content_hash", "human_size", "open_large", "read_file"]

# A name can turn into a named pipe between the listing and now. Opening one for
# reading waits for a writer unless O_NONBLOCK is set; on files it changes nothing.
# Windows lacks these flags, and there the file must be opened as binary.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class Content(NamedTuple):
    """What was read.

    Attributes:
        file: The file as it was when it was opened; it may differ from the listing.
        data: Its bytes.
        hash: Hash of its bytes.
    """

    file: SourceFile
    data: bytes
    hash: str


class LargeFile(NamedTuple):
    """A file that is read as a stream.

    Attributes:
        file: The file as it was when it was opened.
        stream: Its bytes; it can seek. Close it.
    """

    file: SourceFile
    stream: BinaryIO

    def hash(self) -> str:
        """Return the hash of its bytes, and stand at its beginning again."""
        digest = hashlib.blake2b(digest_size=16)
        self.stream.seek(0)
        while part := self.stream.read(1 << 20):
            digest.update(part)
        self.stream.seek(0)
        return digest.hexdigest()


class TooLargeError(DocumentError):
    """A file is larger than what is read at once."""


def content_hash(data: bytes) -> str:
    """Return the hash of a file's bytes: BLAKE2b, 128 bits, hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def read_file(path: str, *, max_file: int, kept: str = "") -> Content:
    """Read a regular file, whatever happened to it since it was listed.

    Args:
        path: Absolute path.
        max_file: Largest size, bytes. Nothing is read of a larger file, and a
            file that grows while it is read stops here.
        kept: Path of the file to open, where that is not its own.

    Returns:
        The bytes, with the size and time of the file that was opened.

    Raises:
        DocumentError: Of stage ``read``: vanished, not permitted, no regular
            file, too large, or a failing disk.
    """
    try:
        descriptor = os.open(kept or path, _FLAGS)
        try:
            found = _regular(descriptor, path)
            if found.st_size > max_file:
                raise _too_large(path, found.st_size, max_file)
            data = _drain(descriptor, found.st_size, max_file)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(data) > max_file:
        raise _too_large(path, len(data), max_file)
    return Content(SourceFile(path, len(data), found.st_mtime_ns, kept=kept), data, content_hash(data))


def open_large(path: str, kept: str = "") -> LargeFile:
    """Open a regular file that is not to be held in memory.

    Args:
        path: Absolute path.
        kept: As for ``read_file``.

    Raises:
        DocumentError: Of stage ``read``, as ``read_file``.
    """
    try:
        descriptor = os.open(kept or path, _FLAGS)
        try:
            found = _regular(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        file = SourceFile(path, found.st_size, found.st_mtime_ns, kept=kept)
        return LargeFile(file, os.fdopen(descriptor, "rb"))
    except OSError as error:
        raise _unreadable(path, error) from error


def human_size(size: int) -> str:
    """Return bytes as people write them: ``900 bytes``, ``70.1 MiB``."""
    if size < 1024:
        return f"{size} bytes"
    if size < 1 << 20:
        return f"{size / (1 << 10):.1f} KiB"
    return f"{size / (1 << 20):.1f} MiB"


def _regular(descriptor: int, path: str) -> os.stat_result:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise DocumentError("expected a regular file; it was replaced by something else", source=path, stage="read")
    return found


def _drain(descriptor: int, expected: int, limit: int) -> bytes:
    # One byte more than expected asks for the end in the same call; a file that
    # grew, or one of /proc that claims to be empty, goes round again.
    parts: list[bytes] = []
    total = 0
    while total <= limit:
        part = os.read(descriptor, max(expected + 1 - total, 1 << 16))
        if not part:
            break
        parts.append(part)
        total += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(path: str, size: int, max_file: int) -> TooLargeError:
    return TooLargeError(
        f"the file is at least {human_size(size)}, larger than max_file ({human_size(max_file)})",
        source=path,
        stage="read",
        hint="split it, or raise max_file",
    )


def _unreadable(path: str, error: OSError) -> DocumentError:
    # Giving the right to read a file changes neither its bytes nor their time: no run notices.
    denied = isinstance(error, PermissionError)
    hint = "give yourself the right to read it, and run: tenire retry" if denied else None
    return DocumentError(_reason(error), source=path, stage="read", hint=hint)


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file vanished after it was listed"
    if isinstance(error, PermissionError):
        return "the file may not be read: permission denied"
    return f"the file cannot be read: {error.strerror}"
