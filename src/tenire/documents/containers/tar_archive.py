"""tar archives, as a stream: a compressed one is read once, from its beginning to its end."""

from __future__ import annotations

import tarfile
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from tenire.documents.containers.compressed import BROKEN
from tenire.documents.containers.damage import damaged
from tenire.documents.containers.member import Member, Names
from tenire.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["members"]


def members(stream: BinaryIO, source: str, most: int) -> Iterator[Member]:
    """Yield the files of an archive, in its order. Links and devices hold nothing and are passed over.

    Args:
        stream: The archive, expanded; it need not seek.
        source: Its path, for errors.
        most: The most entries that it may have.

    Raises:
        DocumentError: Of stage ``unpack``, if it is damaged, cut off, or has too many entries.
    """
    names = Names()
    count = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|", errorlevel=0) as archive:
            for info in archive:
                count += 1
                if count > most:
                    raise DocumentError(
                        f"it has more than {most} members", source=source, stage="unpack", hint="unpack it yourself"
                    )
                archive.members = []  # type: ignore[attr-defined]  # it remembers all that it has seen, for seeking
                if info.isreg():
                    name = names.clean(info.name)
                    yield Member(name, info.size, partial(_open, archive, info, f"{source}!/{name}"))
    except (tarfile.TarError, *BROKEN) as error:
        raise damaged(source, "a tar archive", "unpacked", error) from error


def _open(archive: tarfile.TarFile, info: tarfile.TarInfo, source: str) -> BinaryIO:
    try:
        found = archive.extractfile(info)
    except (tarfile.TarError, *BROKEN) as error:
        raise damaged(source, "a tar archive", "unpacked", error) from error
    if found is None:
        raise damaged(source, "a tar archive", "unpacked", ValueError("it is no regular file"))
    return found  # type: ignore[return-value]  # it reads bytes, which is all that is asked
