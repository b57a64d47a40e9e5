"""Files that only their owner may read, as they hold the text of private documents and replies.

SQLite gives the log and the shared memory beside a database the permissions that the
database has, so it is enough to see to that before they are made. Windows keeps whose a
file is in the directory above it, which for a user's own directories is right by itself.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["make_private", "withdraw"]

_OWNER_ONLY = 0o600
_OTHERS = 0o077
_BESIDE = ("", "-wal", "-shm", "-journal")


def make_private(path: Path) -> None:
    """Make an empty file that only its owner may read; do nothing if one is there, or cannot be made.

    Nothing of a file that is there is opened: closing it would drop the locks that
    SQLite holds on it elsewhere in this process.
    """
    # What keeps it from being made, SQLite will find too, and say.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY))


def withdraw(path: Path) -> None:
    """Have a database, and what SQLite keeps beside it, be readable for its owner only from now on."""
    if sys.platform == "win32":
        return
    for suffix in _BESIDE:
        # It may be gone by now, be somebody else's, who decides who reads it, or lie on a disk
        # without permissions. What also keeps it from being written, SQLite will say.
        with contextlib.suppress(OSError):
            name = f"{path}{suffix}"
            mode = stat.S_IMODE(os.stat(name).st_mode)
            if mode & _OTHERS:
                os.chmod(name, mode & ~_OTHERS)
