"""What a source watches, and whether it is still there."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["Roots", "facts_of", "identities"]


@dataclass(frozen=True, slots=True)
class Roots:
    """The directories in which the files of a source can be.

    Attributes:
        deep: Directories with all that is below.
        flat: Directories of which only single files are of interest.
    """

    deep: tuple[str, ...] = ()
    flat: tuple[str, ...] = ()


def identities(roots: Roots) -> tuple[tuple[int, int] | None, ...]:
    """Return what each directory is now: another one in its place is no longer watched. ``None`` for a missing one."""
    return tuple(_identity(directory) for directory in (*roots.deep, *roots.flat))


def _identity(directory: str) -> tuple[int, int] | None:
    try:
        found = os.stat(directory)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def facts_of(path: str) -> tuple[int, ...] | None:
    """Return what tells one state of a path from another, or ``None`` if nothing is there."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_mode, found.st_size, found.st_mtime_ns, found.st_ino
