"""An exclusive lock on a file that the operating system drops with its process.

The only place that knows platforms: POSIX has ``flock`` (bound to the open file,
so another open of the same file in the same process is refused too, and closing
that one does not drop the lock, as it would with ``lockf``), Windows has
``msvcrt.locking``.
"""

from __future__ import annotations

import sys

__all__ = ["LockTakenError", "lock_exclusive", "unlock"]


class LockTakenError(Exception):
    """Somebody else holds the lock."""


if sys.platform == "win32":
    import errno
    import msvcrt
    import os

    # Windows locks are mandatory: a locked byte cannot be read by others. One far
    # behind the content leaves the holder's pid readable.
    _LOCKED_BYTE = 1 << 30

    def lock_exclusive(fd: int) -> None:
        """Take the lock or raise.

        Raises:
            LockTakenError: If somebody else holds it.
            OSError: If this file system has no locks.
        """
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                raise LockTakenError from error
            raise

    def unlock(fd: int) -> None:
        """Give the lock back."""
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def lock_exclusive(fd: int) -> None:
        """Take the lock or raise.

        Raises:
            LockTakenError: If somebody else holds it.
            OSError: If this file system has no locks.
        """
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockTakenError from error

    def unlock(fd: int) -> None:
        """Give the lock back."""
        fcntl.flock(fd, fcntl.LOCK_UN)
