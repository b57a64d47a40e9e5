"""ZIP archives."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from tenire.documents.containers.damage import damaged
from tenire.documents.containers.member import Member, Names
from tenire.documents.recognition import BROKEN_ZIP
from tenire.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["members"]

_TAIL = (1 << 16) + 22
_END = b"PK\x05\x06"
_ENTRY = b"PK\x01\x02"
_LOCAL = b"PK\x03\x04"
_UTF8 = 0x800
_MOST_MENDED = 256 << 20
_END_64 = b"PK\x06\x06"
_BYTES_PER_ENTRY = 128  # names are some dozen bytes long, and the rest of an entry 46
_ENCRYPTED = 1


def members(stream: BinaryIO, source: str, most: int) -> Iterator[Member]:
    """Yield the files of an archive, in its order.

    Args:
        stream: The archive; it can seek.
        source: Its path, for errors.
        most: The most entries that it may have.

    Raises:
        DocumentError: Of stage ``unpack``, if it is damaged or has too many entries.
            Opening a member raises it too.
    """
    _check_directory(stream, source, most)
    stream.seek(0)
    try:
        archive = _opened(stream)
    except BROKEN_ZIP as error:
        raise damaged(source, "a ZIP archive", "unpacked", error) from error
    names = Names()
    with archive:
        for info in archive.infolist():
            # What is no file has nothing to read: directories, links, devices.
            kind = stat.S_IFMT(info.external_attr >> 16)
            if not info.is_dir() and kind in (0, stat.S_IFREG):
                name = names.clean(info.filename)
                yield Member(name, info.file_size, partial(_open, archive, info, f"{source}!/{name}"))


def _opened(stream: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except UnicodeDecodeError:
        # A name claims to be UTF-8 and is not. What is left without the claim can be read.
        stream.seek(0)
        return zipfile.ZipFile(io.BytesIO(_without_claims(stream.read(_MOST_MENDED))))


def _without_claims(data: bytes) -> bytes:
    mended = bytearray(data)
    for mark, flags_at, length_at, name_at in ((_ENTRY, 8, 28, 46), (_LOCAL, 6, 26, 30)):
        place = data.find(mark)
        while 0 <= place <= len(data) - name_at:
            (flags,) = struct.unpack_from("<H", data, place + flags_at)
            (length,) = struct.unpack_from("<H", data, place + length_at)
            if flags & _UTF8:
                try:
                    data[place + name_at : place + name_at + length].decode("utf-8")
                except UnicodeDecodeError:
                    struct.pack_into("<H", mended, place + flags_at, flags & ~_UTF8)
            place = data.find(mark, place + 4)
    return bytes(mended)


def _open(archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: str) -> BinaryIO:
    if info.flag_bits & _ENCRYPTED:
        raise DocumentError(
            "a file that can be unpacked without a password was expected, this one is encrypted",
            source=source,
            stage="unpack",
            hint="unpack it yourself, or leave it out",
        )
    try:
        return archive.open(info)  # type: ignore[return-value]  # it reads bytes, which is all that is asked
    except BROKEN_ZIP as error:
        raise damaged(source, "a ZIP archive", "unpacked", error) from error


def _check_directory(stream: BinaryIO, source: str, most: int) -> None:
    """Refuse a directory of too many entries, before all of them become objects."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _TAIL))
    tail = stream.read(_TAIL)
    place = tail.rfind(_END)
    entries = directory = 0
    if 0 <= place <= len(tail) - 22:
        entries, directory = struct.unpack_from("<HI", tail, place + 10)
    place = tail.rfind(_END_64)
    if 0 <= place <= len(tail) - 56 and (entries == 0xFFFF or directory == 0xFFFFFFFF):
        entries, directory = struct.unpack_from("<QQ", tail, place + 32)
    if entries > most or directory > most * _BYTES_PER_ENTRY:
        raise DocumentError(
            f"it has more than {most} members", source=source, stage="unpack", hint="unpack it yourself"
        )
