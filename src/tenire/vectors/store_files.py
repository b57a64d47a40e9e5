"""The small files of a store, and what it was built with.

``format.json`` names the layout, the embedder and the length of a vector. Small files
are written beside their place and moved there, whole or not at all.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from tenire.errors import EmbedderMismatchError, StoreError, UnreadableStoreError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "FORMAT",
    "TEXT_INDEX",
    "StoreFormat",
    "format_stamp",
    "open_format",
    "read_format",
    "read_whole",
    "write_format",
    "write_whole",
]

FORMAT = 2
TEXT_INDEX = "text.db"
_READABLE = (1, FORMAT)
_HALF = 2
_FORMAT_FILE = "format.json"


@dataclass(frozen=True, slots=True)
class StoreFormat:
    """What a store was built with.

    Attributes:
        embedder: Identity of the embedder.
        dimension: Length of a vector.
        format: Version of the layout on disk. In the first one numbers of vectors have 32 bits.
        table: Name of the table; another one after the store was given another embedder.
    """

    embedder: str
    dimension: int
    format: int = FORMAT
    table: str = "passages"

    @property
    def half(self) -> bool:
        """Whether numbers of vectors have 16 bits, which costs no recall and saves half of the store."""
        return self.format >= _HALF


def read_format(path: Path) -> StoreFormat | None:
    """Return what the store in ``path`` was built with, or ``None`` if there is none.

    Raises:
        StoreError: If the file cannot be read, is damaged, or is of a newer Tenire.
    """
    file = path / _FORMAT_FILE
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"cannot read {file} ({error})", hint="check its permissions") from error
    try:
        version = msgspec.json.decode(data, type=dict[str, object]).get("format")
    except msgspec.DecodeError as error:
        raise _damaged(file, error) from error
    if version not in _READABLE:
        message = f"{file} says format {version!r}, this Tenire knows formats up to {FORMAT}"
        raise StoreError(message, hint="use the Tenire that made this store, or ingest again into a new home")
    try:
        return msgspec.json.decode(data, type=StoreFormat)
    except msgspec.DecodeError as error:
        raise _damaged(file, error) from error


def write_format(path: Path, format_: StoreFormat) -> None:
    """Say what the store in ``path`` is built with, in one step.

    Raises:
        StoreError: If it cannot be written; then it is what it was.
    """
    write_whole(path / _FORMAT_FILE, msgspec.json.encode(asdict(format_)) + b"\n")


def format_stamp(path: Path) -> tuple[int, int]:
    """Return two numbers that are others once somebody has said something else; zeros while there is no store."""
    try:
        facts = (path / _FORMAT_FILE).stat()
    except OSError:
        return 0, 0
    return facts.st_ino, facts.st_mtime_ns


def open_format(path: Path, dimension: int | None, embedder: str | None, *, create: bool) -> StoreFormat:
    """Return what the store in ``path`` is built with; make a store if that is asked for.

    Args:
        path: Directory of the store.
        dimension: Length of a vector that the caller works with, or ``None`` for the store's.
        embedder: Identity of the embedder that the caller works with, or ``None`` for the store's.
        create: Whether to make the store if there is none.

    Raises:
        StoreError: If there is none and none shall be made, or it cannot be read or made.
        EmbedderMismatchError: If it was built with something else.
    """
    stored = read_format(path)
    if stored is None:
        if not create:
            raise StoreError(f"no store at {path}", hint="run: tenire ingest PATH")
        if dimension is None or embedder is None:
            raise StoreError(f"no store at {path}, and a new one needs to know its embedder", hint="name an embedder")
        stored = StoreFormat(embedder=embedder, dimension=dimension)
        write_format(path, stored)
        return stored
    asked = replace(
        stored,
        embedder=stored.embedder if embedder is None else embedder,
        dimension=stored.dimension if dimension is None else dimension,
    )
    if asked != stored:
        message = (
            f"the store at {path} was built with the embedder {stored.embedder} ({stored.dimension} dimensions),"
            f" not with {asked.embedder} ({asked.dimension})"
        )
        raise EmbedderMismatchError(
            message,
            stored=stored.embedder,
            asked=asked.embedder,
            hint="use the same embedder, or ingest into another home with --home",
        )
    return stored


def _damaged(file: Path, error: Exception) -> StoreError:
    hint = "restore it from a backup, or run: tenire verify --repair, and then ingest again"
    return UnreadableStoreError(f"{file} is damaged ({error})", hint=hint)


def read_whole(file: Path) -> bytes:
    """Return what a file holds.

    Raises:
        StoreError: If it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {file} ({error})", hint="check its permissions") from error


def write_whole(file: Path, data: bytes) -> None:
    """Write a file, whole or not at all, and durably.

    Raises:
        StoreError: If it cannot be written.
    """
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        message = f"cannot write {file} ({error})"
        raise StoreError(message, hint="check free space and permissions, or name another home with --home") from error
