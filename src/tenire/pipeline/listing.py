"""What one path is: a file to read, a file to skip, or something to refuse.

Paths are ``str`` with ``surrogateescape``: on Linux a name may hold any byte.
Such a path cannot be encoded as UTF-8; hash or store it through
``os.fsencode`` and show it through ``printable``. ``json.dumps`` with its
default ``ensure_ascii`` writes it without loss.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tenire.pipeline.skipped_types import holds_no_text
from tenire.protocols import Rejection, SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Listed", "Skipped", "Source", "classify", "entries", "is_own_directory", "printable"]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file of a type that holds no text; it is not part of ``seen``.

    Attributes:
        path: Absolute path.
    """

    path: str


Listed = SourceFile | Skipped | Rejection
"""What a walk yields."""


class Source(Protocol):
    """Where the files of a documents pipeline come from."""

    def walk(self) -> Iterator[Listed]:
        """Yield every file once."""
        ...

    def covers(self, path: str) -> bool:
        """Return whether a walk would list this path if it were there."""
        ...


def entries(directory: str) -> Iterator[os.DirEntry[str] | Rejection]:
    """Yield what is in a directory, sorted by name; a refusal if it cannot be read."""
    try:
        with os.scandir(directory) as scanned:
            found = sorted(scanned, key=_by_name)
    except FileNotFoundError:
        return  # it left while the walk was elsewhere, with everything in it
    except OSError as error:
        yield Rejection(_described(directory), "read", f"the directory cannot be read: {error.strerror}")
        return
    yield from found


def is_own_directory(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a directory that the walk enters: not a link, not a Windows junction."""
    if not entry.is_dir(follow_symlinks=False):
        return False
    is_junction = getattr(entry, "is_junction", None)  # Python 3.12 and later
    return is_junction is None or not is_junction()


def classify(path: str, entry: os.DirEntry[str] | None = None) -> Listed | None:
    """Say what a path that is not a directory of the tree is; ``None`` for a link to a directory."""
    try:
        found = os.stat(path) if entry is None or entry.is_symlink() else entry.stat(follow_symlinks=False)
    except OSError as error:
        return Rejection(_described(path), "read", _unreachable(path, error))
    if stat.S_ISDIR(found.st_mode):
        return None
    if not stat.S_ISREG(found.st_mode):
        reason = f"expected a regular file, got {_kind(found.st_mode)}; it was not opened"
        return Rejection(_described(path), "read", reason)
    if holds_no_text(os.path.basename(path)):
        return Skipped(path)
    return SourceFile(path, found.st_size, found.st_mtime_ns)


def printable(path: str) -> str:
    """Return a path with bytes that are no text escaped, for messages."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _described(path: str) -> SourceFile:
    """Describe what stands at the path itself, so that a later run can tell whether it changed."""
    try:
        found = os.lstat(path)
    except OSError:
        return SourceFile(path, 0, 0)
    return SourceFile(path, 0, found.st_mtime_ns)


def _unreachable(path: str, error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "the link leads back to itself"
    if isinstance(error, FileNotFoundError):
        if os.path.islink(path):
            return f"the link leads to {printable(os.readlink(path))}, which does not exist"
        return "the file vanished after it was listed"
    return f"the file cannot be looked at: {error.strerror}"


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISBLK, "a block device"),
    )
    return next((name for test, name in kinds if test(mode)), "something else")


def _by_name(entry: os.DirEntry[str]) -> str:
    return entry.name
