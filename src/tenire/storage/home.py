"""The home directory, and the lock that lets one engine at a time into it.

Readers (search, status, failed) take no lock. An engine holds ``engine.lock``
for as long as it lives; the operating system drops the lock when the process
dies, however it dies, so there is no stale lock to clean up. The file stays and
holds the owner's pid: removing it would let two engines lock two different
files of the same name.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tenire.errors import HomeBusyError, InternalError, StoreError
from tenire.storage.advice import advice
from tenire.storage.file_lock import LockTakenError, lock_exclusive, unlock

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Home", "HomeLock"]

# ``Home.owner`` holds the lock for an instant to see whether it is free, and a new
# owner needs an instant to write its pid. Both are over long before the last try.
_TRIES = 5
_PAUSE_S = 0.01
_PID_WIDTH = 20


class Home:
    """The directory that holds everything Tenire knows about one set of pipelines.

    Making one of these touches nothing on disk.

    Args:
        path: The directory; it need not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(path))

    def __repr__(self) -> str:
        return f"Home({str(self.path)!r})"

    @property
    def ledger_path(self) -> Path:
        """The ledger's database file."""
        return self.path / "ledger.db"

    @property
    def store_path(self) -> Path:
        """The directory of the local store."""
        return self.path / "store"

    @property
    def cache_path(self) -> Path:
        """The directory for what can be made again."""
        return self.path / "cache"

    @property
    def logs_path(self) -> Path:
        """The directory for logs."""
        return self.path / "logs"

    @property
    def lock_path(self) -> Path:
        """The file that a running engine locks."""
        return self.path / "engine.lock"

    def require(self) -> None:
        """Check that there is something to read here.

        Raises:
            StoreError: If the home does not exist, is not a directory, or may not be entered.
        """
        try:
            self.ledger_path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            if os.path.exists(self.path) and not os.path.isdir(self.path):
                raise _not_a_directory(self.path) from error
            message = f"there is no home at {self.path} yet"
            raise StoreError(message, hint="run: tenire ingest PATH (or name another home with --home)") from error
        except OSError as error:
            message = f"the home {self.path} cannot be looked into: {error.strerror}"
            raise StoreError(message, hint="only its owner may; name a home of yours with --home") from error

    def create(self) -> None:
        """Make the directory if it is not there.

        Raises:
            StoreError: If it cannot be made.
        """
        try:
            # The home holds the text of private documents: for its owner only.
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise _not_a_directory(self.path) from error
        except OSError as error:
            message = f"cannot make the home {self.path}: {error.strerror}"
            raise StoreError(message, hint="name a writable directory with --home") from error

    def owner(self) -> int | None:
        """Return the pid of the engine that runs here, or ``None``."""
        try:
            fd = os.open(self.lock_path, os.O_RDONLY)
        except OSError:
            return None  # No lock file: no engine ever ran here, or it is not ours to see.
        try:
            lock_exclusive(fd)
        except LockTakenError:
            return _read_pid(fd)
        except OSError:
            return None  # A file system without locks cannot have a locked home either.
        else:
            unlock(fd)
            return None
        finally:
            os.close(fd)


class HomeLock:
    """The right to run an engine on a home; a context manager.

    Args:
        home: The home; it is made if it does not exist.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock, or refuse without touching anything.

        Raises:
            HomeBusyError: If another engine runs on this home.
            StoreError: If the home cannot be made or locked.
            InternalError: If this object holds the lock already.
        """
        if self._fd is not None:
            message = f"the lock of {self._home.path} was taken twice by one holder"
            raise InternalError(message)
        self._home.create()
        path = self._home.lock_path
        try:
            # Not inherited by child processes: a worker that outlives its engine must not keep the home.
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _not_writable(path, error) from error
        try:
            self._lock(fd)
            os.lseek(fd, 0, os.SEEK_SET)
            # One write of fixed width replaces the pid of an engine that was killed: no reader sees half of each.
            os.write(fd, f"{os.getpid():<{_PID_WIDTH}}\n".encode())
        except OSError as error:
            os.close(fd)
            raise _not_writable(path, error) from error
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def _lock(self, fd: int) -> None:
        pid: int | None = None
        for _ in range(_TRIES):
            try:
                lock_exclusive(fd)
            except LockTakenError:
                pid = _read_pid(fd)
                threading.Event().wait(_PAUSE_S)
            else:
                return
        message = f"another engine (pid {pid or 'unknown'}) runs on the home {self._home.path}"
        raise HomeBusyError(message, pid=pid or 0, hint="wait for it, or stop it, or name another home with --home")

    def release(self) -> None:
        """Give the home back; does nothing if it is not held."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        with contextlib.suppress(OSError):  # A full or unplugged disk must not keep the lock from being dropped.
            os.ftruncate(fd, 0)
            unlock(fd)
        os.close(fd)

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def __enter__(self) -> HomeLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _read_pid(fd: int) -> int | None:
    os.lseek(fd, 0, os.SEEK_SET)
    text = os.read(fd, _PID_WIDTH).strip()
    return int(text) if text.isdigit() else None


def _not_a_directory(path: Path) -> StoreError:
    message = f"the home must be a directory, but {path} or a part of it is a file"
    return StoreError(message, hint="name another directory with --home")


def _not_writable(path: Path, error: OSError) -> StoreError:
    message = f"cannot lock {path}: {error.strerror}"
    usual = "the home must be on a writable disk that supports file locks; name one with --home"
    return StoreError(message, hint=advice(error, usual))
