"""The handle to a blob."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from tenire.concurrency.blocking import run_blocking
from tenire.storage.blob_file import BlobFile

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

    from tenire.concurrency.data.table import BlobTable, Where

__all__ = ["Blob"]


class Blob:
    """Bytes that the engine keeps, in memory or on disk; made by ``DataManager.put``.

    They are given up by ``release``, at the end of a ``with`` block, or when nobody has
    the handle any more. Sent to a worker process it arrives there as a ``BlobFile``, which
    has ``open`` and ``read`` too; the bytes are not pickled.

    Attributes:
        name: For people.
        size: Bytes.
    """

    __slots__ = ("__weakref__", "_finalizer", "_key", "_table", "name", "size")

    def __init__(self, table: BlobTable, key: int, name: str, size: int) -> None:
        self._table = table
        self._key = key
        self.name = name
        self.size = size
        # It may run anywhere, in the middle of anything on this thread: it only makes a note.
        self._finalizer = weakref.finalize(self, table.lost, key)
        self._finalizer.atexit = False

    @property
    def where(self) -> Where | None:
        """``memory``; ``shared`` (memory that other processes can read); ``disk``; ``None`` if it was released."""
        return self._table.where(self._key)

    def open(self) -> AbstractContextManager[memoryview]:
        """Lend the bytes, which cannot be changed, while a ``with`` block runs; from any thread.

        Bytes on disk are read as they are looked at: large ones belong on a thread.

        Raises:
            RejectedError: On entering, if it was released or the engine has ended.
        """
        return self._table.open(self._key)

    async def read(self) -> bytes:
        """Return a copy of the bytes.

        Raises:
            RejectedError: If it was released, or the engine has ended.
        """
        return await run_blocking(self._copy)

    def _copy(self) -> bytes:
        with self.open() as view:
            return bytes(view)

    def release(self) -> None:
        """Give up the bytes, from any thread; those that are open stay until they are closed."""
        self._finalizer.detach()
        self._table.release(self._key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __reduce__(self) -> tuple[Any, ...]:
        file = self._table.send(self._key)
        return BlobFile, (file.name, file.size, file.paths)

    def __repr__(self) -> str:
        return f"<Blob {self.name!r}: {self.size:,} bytes, {self.where or 'released'}>"
