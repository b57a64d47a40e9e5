"""The bytes of all blobs of one engine; where each lies is decided by ``core.spilling``.

1. All methods may be called from any thread. Files are written and removed outside the lock.
2. A blob begins as whatever object the user handed in, or as a file on disk.
3. Sent to another process for the first time, what is in memory becomes a file that is memory
   where the system has such (``/dev/shm``); elsewhere, or if that is full, a file on disk.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from tenire.core.spilling import Place
from tenire.errors import RejectedError, StoreError
from tenire.storage.advice import advice
from tenire.storage.blob_file import BlobFile, lent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tenire.clock import Clock
    from tenire.core.spilling import Spilling
    from tenire.storage.scratch import Scratch

__all__ = ["BlobTable", "Where"]

Where = Literal["memory", "shared", "disk"]

_KEEP = "keep a blob, and its engine, for as long as its bytes are needed"


class _Held:
    """One blob's bytes."""

    __slots__ = ("data", "file", "name", "size", "where")

    def __init__(self, name: str, data: memoryview) -> None:
        self.name = name
        self.size = data.nbytes
        self.data: memoryview | None = data
        self.where: Where = "memory"
        self.file = ""


class BlobTable:
    """The table of blobs.

    Args:
        core: Decides where they lie.
        shared: Where files are memory, or ``None`` if the system has no such place.
        disk: Where files are on disk.
        clock: The engine's clock.
        changed: Called, from any thread, when bytes came free or a file is to be removed.
    """

    def __init__(
        self, core: Spilling, *, shared: Scratch | None, disk: Scratch, clock: Clock, changed: Callable[[], object]
    ) -> None:
        self.core = core
        self._shared = shared
        self._disk = disk
        self._clock = clock
        self._changed = changed
        self._lock = threading.Lock()
        self._written = threading.Condition(self._lock)
        self._sending = threading.Lock()
        self._held: dict[int, _Held] = {}
        self._keys = itertools.count(1)
        self._lost: deque[int] = deque()
        self._trash: list[tuple[Scratch, str]] = []
        self._closed = False

    # -- coming and going -------------------------------------------------

    def add(self, name: str, data: memoryview, *, room: int) -> tuple[int, bool]:
        """Take in a blob; return its key, and whether it must be written before it is used.

        Raises:
            RejectedError: If there is no room for it, or the engine has ended.
        """
        with self._lock:
            if self._closed:
                message = f"the engine has ended and takes no blob ({name!r})"
                raise RejectedError(message)
            key = next(self._keys)
            place = self.core.place(key, data.nbytes, room=room)
            held = self._held[key] = _Held(name, data)
            held.file = f"{key}.blob"
            return key, place == Place.WRITING

    def release(self, key: int) -> None:
        """Forget a blob; does nothing if that was done before."""
        with self._lock:
            if key not in self._held or self._closed:
                return
            if self.core.release(key):
                self._drop(key)
        self._changed()

    def lost(self, key: int) -> None:
        """Take in that nobody has the handle of a blob any more; safe in a finaliser."""
        self._lost.append(key)
        self._changed()

    def drop_lost(self) -> None:
        """Forget the blobs whose handles are gone."""
        while self._lost:
            self.release(self._lost.popleft())

    def where(self, key: int) -> Where | None:
        """Return where a blob lies, or ``None`` if it was released."""
        with self._lock:
            held = self._held.get(key)
            gone = held is None or self._closed or self.core.is_released(key)
            return None if held is None or gone else held.where

    @contextmanager
    def open(self, key: int) -> Iterator[memoryview]:
        """Lend the bytes of a blob.

        Raises:
            RejectedError: If it was released, or the engine has ended.
        """
        with self._lock:
            held = self._get(key)
            self.core.opened(key)
            data = held.data
        try:
            with lent(data) if data is not None else self._file_of(held).open() as view:
                yield view
        finally:
            with self._lock:
                gone = not self._closed and self.core.closed(key)
                if gone:
                    self._drop(key)
            self._changed()  # it may move now

    def _get(self, key: int) -> _Held:
        held = self._held.get(key)
        if held is None or self._closed or self.core.is_released(key):
            raise _over() if self._closed else RejectedError("the blob was released", hint=_KEEP)
        return held

    def _file_of(self, held: _Held) -> BlobFile:
        places = (self._shared, self._disk)
        return BlobFile(held.name, held.size, tuple(str(at.path_of(held.file)) for at in places if at is not None))

    def _drop(self, key: int) -> None:
        held = self._held.pop(key)
        if held.where != "memory":
            self._throw_away(held)

    def _throw_away(self, held: _Held) -> None:
        scratch = self._shared if held.where == "shared" else self._disk
        assert scratch is not None
        self._trash.append((scratch, held.file))

    def remove_trash(self) -> None:
        """Remove the files that nobody needs any more; blocks."""
        with self._lock:
            trash, self._trash = self._trash, []
        for scratch, file in trash:
            scratch.remove(file)

    @property
    def has_trash(self) -> bool:
        """Whether there are files to remove."""
        return bool(self._trash)

    # -- moving -----------------------------------------------------------

    def make_room(self, size: int) -> list[int]:
        """Return the blobs to ``write`` so that ``size`` bytes of memory come free."""
        with self._lock:
            return [] if self._closed else self.core.make_room(size, self._clock.now())

    def write(self, key: int) -> None:
        """Write a blob that moves, or was never in memory, to disk; blocks.

        Raises:
            StoreError: If it cannot be written. What was in memory stays there.
            RejectedError: If the engine has ended, before it was written or meanwhile.
        """
        with self._lock:
            if self._closed:
                raise _over()
            held = self._held[key]
            data = held.data
        error: OSError | StoreError | None = None
        try:
            with lent(data) if data is not None else self._file_of(held).open() as view:
                self._disk.write(held.file, view)
        except (OSError, StoreError) as caught:
            error = caught
        over = self._take_in(key, held, error)
        self.remove_trash()  # before the bytes are given to somebody else
        self._tell(held, error, over=over)

    def not_written(self, key: int, error: Exception) -> None:
        """Take in that the writing of a blob could not even begin; does not block.

        Raises:
            StoreError: Always, unless the engine has ended. What was in memory stays there.
            RejectedError: If the engine has ended.
        """
        with self._lock:
            if self._closed:
                raise _over()
            held = self._held[key]
        self._tell(held, error, over=self._take_in(key, held, error), place="disk")

    def _take_in(self, key: int, held: _Held, error: Exception | None) -> bool:
        with self._lock:
            over = self._closed
            if not over:
                self._has_written(key, held, error)
            self._written.notify_all()
        return over

    def _tell(self, held: _Held, error: Exception | None, *, over: bool, place: str = "") -> None:
        self._changed()
        if over:  # the directory goes, and an error is most likely that
            raise _over() from error
        if error is not None:
            reason = getattr(error, "strerror", None) or error
            message = (
                f"the blob {held.name!r} of {held.size:,} bytes cannot be written to {place or self._place}: {reason}"
            )
            raise StoreError(message, hint=advice(error, "release blobs that are not needed any more")) from error

    @property
    def _place(self) -> str:
        try:
            return str(self._disk.path)
        except OSError:  # the system has no place for it, which is why nothing can be written
            return "disk"

    def _has_written(self, key: int, held: _Held, error: Exception | None) -> None:
        before = held.where
        holds, gone = self.core.written(key, self._clock.now(), well=error is None)
        if holds:
            if before == "shared":
                self._throw_away(held)
            held.where, held.data = "disk", None
        elif error is None:
            self._trash.append((self._disk, held.file))
        if gone:
            self._drop(key)

    def send(self, key: int) -> BlobFile:
        """Return what another process needs to read a blob; blocks for as long as a copy takes, the first time.

        Raises:
            RejectedError: If the blob was released, or there is no room for it outside of this process.
            StoreError: If it cannot be written.
        """
        with self._sending:
            with self._lock:
                held = self._get(key)
                file = self._file_of(held)
                shared = None if held.where != "memory" else self._shared
            if shared is not None and self._share(key, held, shared):
                return file
            while self._must_write(key, held):
                self.write(key)
            return file

    def _must_write(self, key: int, held: _Held) -> bool:
        """Return whether a blob in memory is now to be written; waits for whoever writes it already."""
        with self._written:
            self._written.wait_for(lambda: self._closed or self.core.place_of(key) != Place.MOVING)
            self._get(key)
            return held.where == "memory" and self.core.move(key)

    def _share(self, key: int, held: _Held, shared: Scratch) -> bool:
        with self.open(key) as view:
            try:
                shared.write(held.file, view)
            except OSError:  # containers often have 64 MB of it
                return False
        with self._lock:
            if self._held.get(key) is held and held.where == "memory":
                held.where, held.data = "shared", None
            else:  # released, or on disk by now
                self._trash.append((shared, held.file))
        return True

    def close(self) -> bool:
        """Forget everything; return whether there are files to remove."""
        with self._lock:
            self._closed = True
            self._held.clear()
            self._written.notify_all()
        return any(scratch is not None and scratch.made for scratch in (self._shared, self._disk))

    def remove_files(self) -> None:
        """Remove all files, after ``close``; blocks."""
        for scratch in (self._shared, self._disk):
            if scratch is not None:
                scratch.close()


def _over() -> RejectedError:
    return RejectedError("the engine has ended", hint=_KEEP)
