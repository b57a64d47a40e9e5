"""Tells pickles that this home has made or taken in itself from those that were put there.

Loading a pickle runs what it says, so a sum beside it proves nothing: whoever brings the one
brings the other. A key that never leaves the home seals both.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_sealed", "seal_of"]

_KEY_FILE = ".seal.key"
_KEY_BYTES = 32


def seal_of(folder: Path, *parts: str) -> str:
    """Return the seal of these texts, with the key of a folder of models; it is made if there is none."""
    key = _key(folder)
    while key is None:
        _make_key(folder)
        key = _key(folder)
    return _digest(key, parts)


def is_sealed(folder: Path, seal: str, *parts: str) -> bool:
    """Return whether a seal is that of these texts."""
    key = _key(folder)
    return key is not None and hmac.compare_digest(_digest(key, parts), seal)


def _digest(key: bytes, parts: tuple[str, ...]) -> str:
    digest = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def _key(folder: Path) -> bytes | None:
    try:
        key = (folder / _KEY_FILE).read_bytes()
    except FileNotFoundError:
        return None
    return key if len(key) == _KEY_BYTES else None


def _make_key(folder: Path) -> None:
    # Under another name first: nobody may see half a key, and of two makers the last one stands.
    new = folder / f"{_KEY_FILE}.{secrets.token_hex(4)}"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, secrets.token_bytes(_KEY_BYTES))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(new, folder / _KEY_FILE)
