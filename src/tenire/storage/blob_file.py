"""Bytes of another process, by the name of the file in which they lie.

This is what a worker process gets of a blob. The file is memory or on disk; it may move
from the one to the other at any time, and then is in the second place before it leaves
the first.
"""

from __future__ import annotations

import contextlib
import mmap
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

__all__ = ["BlobFile", "lent"]


@dataclass(frozen=True, slots=True)
class BlobFile:
    """A blob in another process than its engine's.

    Attributes:
        name: For people.
        size: Bytes.
        paths: Where it may lie, in the order in which to look.
    """

    name: str
    size: int
    paths: tuple[str, ...]

    @contextmanager
    def open(self) -> Iterator[memoryview]:
        """Lend the bytes, which cannot be changed, while the block runs; they are not copied.

        Raises:
            StoreError: If the blob was released, or its engine has ended.
        """
        with self._mapped() as mapping, lent(mapping) as view:
            yield view

    def read(self) -> bytes:
        """Return a copy of the bytes.

        Raises:
            StoreError: If the blob was released, or its engine has ended.
        """
        with self.open() as view:
            return bytes(view)

    @contextmanager
    def _mapped(self) -> Iterator[bytes | mmap.mmap]:
        if not self.size:  # nothing cannot be mapped
            yield b""
            return
        with self._file() as file:
            try:
                mapping = mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                message = f"the blob {self.name!r} of {self.size:,} bytes cannot be read from {file.name}: {error}"
                raise StoreError(message) from error
        try:
            yield mapping
        finally:
            # What was made of the bytes and is still in use keeps them until it goes.
            with contextlib.suppress(BufferError):
                mapping.close()

    def _file(self) -> BufferedReader:
        for path in (*self.paths, *self.paths):  # twice: it may move just now
            with contextlib.suppress(FileNotFoundError):
                return open(path, "rb")
        message = f"the blob {self.name!r} is gone: it was released, or its engine has ended"
        raise StoreError(message, hint="keep the blob until everything that was given it has ended")


@contextmanager
def lent(data: bytes | memoryview | mmap.mmap) -> Iterator[memoryview]:
    """Lend a view of bytes that cannot be changed through it."""
    view = memoryview(data).toreadonly()
    try:
        yield view
    finally:
        with contextlib.suppress(BufferError):
            view.release()
