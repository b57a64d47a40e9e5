"""Directories whose files die with their engine, however it ends.

::

    base/tenire-PID-TOKEN.lock      held by the engine for as long as it lives
    base/tenire-PID-TOKEN/          its files

1. The directory is made with the first file; an engine that writes none leaves no trace.
2. The operating system drops the lock with the process. Whoever can take it knows that its
   owner is gone, and removes the directory (``sweep``). The pid is for people: it may have
   been given to another process meanwhile, or belong to another container.
3. Only directories of this user are swept.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tenire.storage.file_lock import LockTakenError, lock_exclusive

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Scratch", "shared_base", "sweep", "temporary_base"]

_PREFIX = "tenire-"
_LOCK = ".lock"
_TRIES = 10
_AT_ONCE = 8 << 20
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_OWN: Callable[[], int] = getattr(os, "getuid", lambda: 0)


def shared_base() -> Path | None:
    """Return where files are memory, and nothing else, or ``None`` if the system has no such place."""
    return Path("/dev/shm") if sys.platform == "linux" else None


def temporary_base() -> Path:
    """Return where files of an engine without a home may lie: on a disk, where the system says which."""
    # /tmp is memory on many systems.
    lasting = Path("/var/tmp")
    if "TMPDIR" not in os.environ and os.access(lasting, os.W_OK | os.X_OK):
        return lasting
    return Path(tempfile.gettempdir())


class Scratch:
    """One directory; all methods block and may be called from any thread.

    Args:
        base: Returns where it goes; asked when that is needed, since to look may block. Made
            with the first file if it is not there.
    """

    def __init__(self, base: Callable[[], Path]) -> None:
        self._base = base
        self._guard = threading.Lock()
        self._lock_fd: int | None = None
        self._closed = False
        self._name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"

    @cached_property
    def path(self) -> Path:
        """The directory; it need not be there."""
        return self._base() / self._name

    @property
    def made(self) -> bool:
        """Whether it is there."""
        return self._lock_fd is not None

    def path_of(self, name: str) -> Path:
        """Return where a file of this name lies, or would."""
        return self.path / name

    def write(self, name: str, data: memoryview) -> None:
        """Write a file that is not there yet; all of it or none.

        Raises:
            OSError: If it cannot be written, for example because the place is full.
        """
        self._make()
        path = self.path_of(name)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            try:
                while data:
                    data = data[os.write(fd, data[:_AT_ONCE]) :]
            finally:
                os.close(fd)
        except BaseException:
            self.remove(name)
            raise

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        # Windows keeps a file that a worker has mapped; it goes with the directory.
        with contextlib.suppress(OSError):
            self.path_of(name).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove everything; nothing can be written any more."""
        with self._guard:
            self._closed = True
            fd, self._lock_fd = self._lock_fd, None
            if fd is not None:
                _remove(self.path, _lock_of(self.path))
                _let_go(fd, _lock_of(self.path))

    def _make(self) -> None:
        with self._guard:
            if self._closed:
                raise FileNotFoundError(2, "the engine has ended", str(self.path))
            if self._lock_fd is not None:
                return
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = _hold(_lock_of(self.path))
            try:
                self.path.mkdir(mode=0o700)
            except BaseException:
                os.close(fd)
                raise
            self._lock_fd = fd


def sweep(base: Path) -> int:
    """Remove what engines left in ``base`` that are gone; return how many there were. Blocks."""
    swept = 0
    try:
        locks = list(base.glob(f"{_PREFIX}*{_LOCK}"))
    except OSError:
        return 0
    for lock in locks:
        with contextlib.suppress(OSError, LockTakenError):
            swept += _sweep_one(lock)
    return swept


def _sweep_one(lock: Path) -> bool:
    if lock.lstat().st_uid != _OWN():
        return False
    fd = os.open(lock, os.O_RDWR | _NOFOLLOW)
    try:
        lock_exclusive(fd)
        if not _is_at(fd, lock):
            return False  # somebody else has swept it meanwhile
        _remove(lock.with_suffix(""), lock)
        return True
    finally:
        _let_go(fd, lock)


def _hold(lock: Path) -> int:
    for _ in range(_TRIES):
        # Not inherited by child processes: a worker that outlives its engine must not keep its files.
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | _NOFOLLOW, 0o600)
        try:
            lock_exclusive(fd)
            # Between the two calls another engine may have swept it: then this is a lock on nothing.
            if _is_at(fd, lock):
                return fd
        except LockTakenError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    raise FileExistsError(17, "somebody else holds this lock", str(lock))


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + _LOCK)


def _remove(folder: Path, lock: Path) -> None:
    # The lock last: as long as it is there, somebody will come and finish this.
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        with contextlib.suppress(OSError):  # Windows: it is open here
            lock.unlink(missing_ok=True)


def _let_go(fd: int, lock: Path) -> None:
    os.close(fd)
    if os.name == "nt" and not lock.with_suffix("").exists():
        with contextlib.suppress(OSError):  # its owner still has it open, or it is gone
            lock.unlink()
