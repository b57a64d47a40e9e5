"""Keeps the prepared model between runs.

One file a model: a line of JSON, then OpenVINO's compiled form. It is written
under another name and moved into place, so a reader sees a whole file or none,
whatever is killed and however many processes prepare at once. OpenVINO's own
cache folder is not used: a torn file in it is only noticed by accident.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenire.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Prepared", "read_prepared", "write_prepared"]

_STALE_AFTER = 3600.0  # seconds after which another process's unfinished file is litter


@dataclass(frozen=True, slots=True)
class Prepared:
    """A compiled model, ready to be imported.

    Attributes:
        variant: ``int8`` or ``fp32``.
        blob: OpenVINO's exported model.
    """

    variant: str
    blob: bytes


def read_prepared(path: Path) -> Prepared | None:
    """Return the model in a file, or ``None`` if there is none or it is damaged."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline(4096))
            blob = file.read()
        # A checksum against torn and rotten files; whoever can write here can
        # also replace the weights, so it need not be a secure one.
        intact = header["bytes"] == len(blob) and header["crc32"] == zlib.crc32(blob)
        return Prepared(str(header["variant"]), blob) if intact else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent, unreadable or not ours: it is made again


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
    facts = {"variant": prepared.variant, "bytes": len(prepared.blob), "crc32": zlib.crc32(prepared.blob)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        for name, content in companions.items():
            _replace(path.parent / name, content)
        _replace(path, json.dumps(facts).encode() + b"\n", prepared.blob)
    except OSError:
        return False
    return True


def _replace(path: Path, *parts: bytes) -> None:
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
