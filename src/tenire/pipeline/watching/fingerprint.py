"""One number for all that a source lists, to tell whether anything has changed."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from tenire.pipeline.listing import Skipped
from tenire.protocols import Rejection

if TYPE_CHECKING:
    from tenire.pipeline.files import FileSource

__all__ = ["fingerprint"]


def fingerprint(source: FileSource) -> bytes:
    """Return a hash of each file's path, size and time; the files are not opened.

    Raises:
        ConfigError: If a named path is missing.
    """
    digest = hashlib.blake2b(digest_size=16)
    for listed in source.walk():
        if not isinstance(listed, Skipped):
            file = listed.file if isinstance(listed, Rejection) else listed
            digest.update(b"%b\0%d %d\n" % (os.fsencode(file.path), file.size, file.mtime_ns))
    return digest.digest()
