"""Keeps the prepared model between runs.

One file a model: a line of JSON, padded to a page, then OpenVINO's compiled form. The
file is mapped, not read: its weights are used where they are, so that they take no memory
of their own, several processes share them, and the system may drop them when it is short.
It is written
under another name and moved into place, so a reader sees a whole file or none,
whatever is killed and however many processes prepare at once. OpenVINO's own
cache folder is not used: a torn file in it is only noticed by accident.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import tempfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from tenire.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Prepared", "read_prepared", "write_prepared"]

_HEADER = 4096  # a page, so that weights begin where they may be computed with
_READ = 1 << 20
_STALE_AFTER = 3600.0  # seconds after which another process's unfinished file is litter


@dataclass(frozen=True, slots=True)
class Prepared:
    """A compiled model, ready to be imported.

    Attributes:
        variant: ``int8`` or ``fp32``.
        blob: OpenVINO's exported model, as bytes; it has to stay for as long as the model made of it.
    """

    variant: str
    blob: NDArray[np.uint8]


def read_prepared(path: Path) -> Prepared | None:
    """Return the model in a file, or ``None`` if there is none or it is damaged."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(_HEADER))
            # A checksum against torn and rotten files; whoever can write here can
            # also replace the weights, so it need not be a secure one.
            if (header["bytes"], header["crc32"]) != _measured(file):
                return None
            # Nobody writes to it; but OpenVINO takes no memory that it could not write to.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return Prepared(str(header["variant"]), np.frombuffer(mapped, np.uint8, offset=_HEADER))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent, unreadable or not ours: it is made again


def _measured(file: BinaryIO) -> tuple[int, int]:
    """Return how many bytes are left in a file, and their checksum, without holding them."""
    size = checksum = 0
    while part := file.read(_READ):
        size += len(part)
        checksum = zlib.crc32(part, checksum)
    return size, checksum


def write_prepared(path: Path, prepared: Prepared, companions: dict[str, bytes]) -> bool:
    """Keep a model for later.

    Args:
        path: The model's file; its folder is created.
        prepared: The model.
        companions: Small files to put beside it (licence and notice).

    Returns:
        Whether it was kept. ``False`` if the folder cannot be written; the
        caller goes on from memory.
    """
    facts = {"variant": prepared.variant, "bytes": prepared.blob.nbytes, "crc32": zlib.crc32(prepared.blob.data)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        for name, content in companions.items():
            _replace(path.parent / name, content)
        _replace(path, json.dumps(facts).encode().ljust(_HEADER - 1) + b"\n", prepared.blob.data)
    except OSError:
        return False
    return True


def _replace(path: Path, *parts: bytes | memoryview) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _sweep(folder: Path) -> None:
    for leftover in folder.glob("*.tmp"):
        with contextlib.suppress(OSError):  # another process was quicker
            if SYSTEM_CLOCK.wall() - leftover.stat().st_mtime > _STALE_AFTER:
                leftover.unlink()
