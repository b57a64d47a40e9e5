"""What is compressed as a whole: gzip, bzip2, xz and zstandard, as a stream."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from typing import TYPE_CHECKING, BinaryIO, cast

import zstandard

from tenire.documents.containers.damage import damaged
from tenire.documents.recognition import Format

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from tenire.documents.containers.bounds import Expansion

__all__ = ["BROKEN", "Expanded", "inner_name"]

_MOST_XZ_MEMORY = 256 << 20
_MOST_ZSTD_WINDOW = 128 << 20
_ENDINGS = {"tgz": "tar", "tbz": "tar", "tbz2": "tar", "txz": "tar", "tzst": "tar"}
_PACKED = frozenset(["gz", "gzip", "bz2", "xz", "lzma", "zst", "zstd"])

BROKEN = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
"""What the decompressors raise when the data is damaged or cut off."""


class Expanded(io.RawIOBase):
    """The expanded bytes of a stream, for a ``BufferedReader``; each one counts. It cannot seek.

    Args:
        stream: The compressed bytes.
        form: How they are compressed.
        expansion: Where the bytes are counted.
        source: Its path, for the error.
    """

    def __init__(self, stream: BinaryIO, form: Format, expansion: Expansion, source: str) -> None:
        super().__init__()
        self._stream = _opened(stream, form)
        self._expansion = expansion
        self._source = source
        self._form = form

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer as far as there are bytes; return how many.

        Raises:
            DocumentError: Of stage ``unpack``: damaged, cut off, or expanding without end.
        """
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view):
            try:
                data = self._stream.read(min(len(view) - filled, self._expansion.left + 1))
            except BROKEN as error:
                raise damaged(self._source, f"{self._form.value} data", "expanded", error) from error
            if not data:
                break
            self._expansion.add(len(data))
            view[filled : filled + len(data)] = data
            filled += len(data)
        return filled


def inner_name(name: str) -> str:
    """Return what a compressed file is called once expanded: ``a.txt`` for ``a.txt.gz``, ``a.tar`` for ``a.tgz``."""
    stem, _, suffix = name.rpartition(".")
    if not stem:
        return name
    ending = _ENDINGS.get(suffix.lower())
    if ending is not None:
        return f"{stem}.{ending}"
    return stem if suffix.lower() in _PACKED else name


def _opened(stream: BinaryIO, form: Format) -> BinaryIO:
    if form is Format.GZIP:
        return cast("BinaryIO", gzip.GzipFile(fileobj=stream))
    if form is Format.BZIP2:
        return cast("BinaryIO", bz2.BZ2File(stream))
    if form is Format.XZ:
        return cast("BinaryIO", _XzStream(stream))
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MOST_ZSTD_WINDOW)
    return cast("BinaryIO", decompressor.stream_reader(stream, read_across_frames=True))


class _XzStream:
    """xz with a bound on its memory, which ``lzma.LZMAFile`` cannot be given."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decompressor = self._fresh()
        self._fed = False

    @staticmethod
    def _fresh() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=_MOST_XZ_MEMORY)

    def read(self, size: int) -> bytes:
        while True:
            if self._decompressor.eof:
                rest = self._decompressor.unused_data.lstrip(b"\0") or self._stream.read(1 << 16).lstrip(b"\0")
                if not rest:
                    return b""
                self._decompressor, self._fed = self._fresh(), True
                data = self._decompressor.decompress(rest, size)
            elif self._decompressor.needs_input:
                packed = self._stream.read(1 << 16)
                if not packed:
                    if self._fed:
                        raise EOFError("it ends too early")
                    return b""
                self._fed = True
                data = self._decompressor.decompress(packed, size)
            else:
                data = self._decompressor.decompress(b"", size)
            if data:
                return data
