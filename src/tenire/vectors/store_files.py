"""The small files of a store: what it was built with, and its dictionaries.

``format.json`` names the layout, the embedder and the length of a vector.
``dictionaries/<number>.zdict`` hold what the compressed texts need to be read.
Both are written beside their place and moved there, whole or not at all.
"""

from __future__ import annotations

import os
import threading
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from tenire.errors import EmbedderMismatchError, StoreError
from tenire.storage.compression import TextCodec, train_dictionary, utf8

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["FORMAT", "StoreFormat", "StoredTexts", "open_format", "read_format"]

FORMAT = 2
_READABLE = (1, FORMAT)
_HALF = 2
_FORMAT_FILE = "format.json"

# Fewer or smaller samples teach a dictionary the quirks of a few files; more than
# the limit only takes memory while waiting.
_ENOUGH_SAMPLES = 200
_ENOUGH_BYTES = 128 << 10
_MOST_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class StoreFormat:
    """What a store was built with.

    Attributes:
        embedder: Identity of the embedder.
        dimension: Length of a vector.
        format: Version of the layout on disk. In the first one numbers of vectors have 32 bits.
    """

    embedder: str
    dimension: int
    format: int = FORMAT

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
        _write_whole(path / _FORMAT_FILE, msgspec.json.encode(asdict(stored)) + b"\n")
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


class StoredTexts:
    """Compresses the texts of one store, and learns its dictionary from the first of them.

    Args:
        path: Directory of the store.
    """

    def __init__(self, path: Path) -> None:
        self._path = path / "dictionaries"
        self._lock = threading.Lock()
        self._codec: TextCodec | None = None
        self._samples: list[bytes] = []
        self._sampled = 0

    def decompress(self, frame: bytes) -> str:
        """Return the text of a frame.

        Raises:
            StoreError: If it is damaged, or its dictionary is missing.
        """
        return self._ready().decompress(frame)

    def compress(self, texts: Iterable[str]) -> list[bytes]:
        """Return one frame per text.

        The first call that completes a fair sample also trains the dictionary.
        It is on disk before any frame that needs it exists.

        Raises:
            StoreError: If the dictionary cannot be written.
        """
        codec = self._ready()
        texts = list(texts)
        if not codec.current:
            self._learn(codec, texts)
        return [codec.compress(text) for text in texts]

    def _ready(self) -> TextCodec:
        with self._lock:
            if self._codec is None:
                codec = TextCodec(self._find)
                for file in sorted(self._path.glob("*.zdict")):
                    codec.use(_read(file))
                self._codec = codec
            return self._codec

    def _learn(self, codec: TextCodec, texts: list[str]) -> None:
        for text in texts:
            if self._sampled >= _MOST_BYTES:
                break
            self._samples.append(utf8(text))
            self._sampled += len(self._samples[-1])
        if len(self._samples) < _ENOUGH_SAMPLES or self._sampled < _ENOUGH_BYTES:
            return
        try:
            dictionary = train_dictionary(self._samples)
        except StoreError:
            # All alike, so nothing to learn: drop these and learn from others.
            dictionary = None
        self._samples, self._sampled = [], 0
        if dictionary is not None:
            number = TextCodec().use(dictionary)
            _write_whole(self._path / f"{number}.zdict", dictionary)
            codec.use(dictionary)

    def _find(self, number: int) -> bytes | None:
        # Another process may have trained one since this store was opened.
        file = self._path / f"{number}.zdict"
        return _read(file) if file.exists() else None


def _damaged(file: Path, error: Exception) -> StoreError:
    return StoreError(f"{file} is damaged ({error})", hint="restore it from a backup, or ingest again into a new home")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {file} ({error})", hint="check its permissions") from error


def _write_whole(file: Path, data: bytes) -> None:
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
