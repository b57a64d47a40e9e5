"""What LanceDB reports, as errors that say what to do."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tenire.errors import StoreError, UnreadableStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["explained", "shortened"]

_SOURCE = re.compile(r"(?:,?\s+\S+\.rs:\d+:\d+)+,?\s*$")
"""Where in its sources Lance found an error: of use to nobody who has a full disk."""

_LOOKING = ("open", "read")


@contextmanager
def explained(path: Path, action: str) -> Iterator[None]:
    """Make a ``StoreError`` of what LanceDB raises in the block.

    Args:
        path: Directory of the store.
        action: What was tried, as a verb.

    Raises:
        UnreadableStoreError: If the block raised what LanceDB and pyarrow raise, and was to open or to read it.
        StoreError: If it raised that while it did anything else.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        # LanceDB reports everything from a full disk to a damaged file as one of these; pyarrow's are ValueErrors.
        message = f"cannot {action} the store {path}: {shortened(error)}"
        if action in _LOOKING:
            hint = "check its disk and permissions; if they are sound: tenire verify --repair, and then ingest again"
            raise UnreadableStoreError(message, hint=hint) from error
        raise StoreError(message, hint="check free space and permissions, then run: tenire verify") from error


def shortened(error: Exception) -> str:
    """Return what LanceDB reports, without the places in its sources."""
    return _SOURCE.sub("", next(iter(str(error).splitlines()), type(error).__name__))
