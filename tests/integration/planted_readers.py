"""Readers that do what no reader should, for files that ask for it; they run in worker processes."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import TYPE_CHECKING, Any

from tenire.documents import looking, prepare, readers, unpacking
from tenire.documents.options import PrepareOptions
from tenire.documents.readers import plain
from tenire.documents.recognition import Format

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.documents.readers.reading import Raw, Reading
    from tenire.protocols import Look, SourceFile, Unpacked

OPTIONS = PrepareOptions()


def read(raw: Raw) -> Reading:
    """Read a table, unless its first word says otherwise."""
    match raw.data.split(b"\n")[0]:
        case b"segfault":
            ctypes.string_at(0)
        case b"kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"exit":
            os._exit(7)
        case b"hang":
            while True:
                pass
        case b"raise":
            raise ValueError("a table with legs")
    return plain.read(raw)


def _plant() -> None:
    readers.READERS[Format.CSV] = f"{__name__}:read"


def prepare_files(files: list[SourceFile], known: Mapping[str, str]) -> list[Any]:
    """Prepare files with the planted reader."""
    _plant()
    return prepare.prepare(files, OPTIONS, known)


def unpack(container: SourceFile, content_hash: str, start: int, most: int, expanded: int) -> Unpacked:
    """Unpack a container with the planted reader."""
    _plant()
    return unpacking.unpack(container, content_hash, start, OPTIONS, most, expanded)


def look(file: SourceFile, number: int | None) -> Look:
    """Look at a file."""
    return looking.look(file, number, OPTIONS)
