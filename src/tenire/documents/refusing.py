"""Has whatever goes wrong with one document end as a rejection that says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tenire.errors import ConfigError, DocumentError
from tenire.protocols import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenire.protocols import SourceFile

__all__ = ["refused", "usable"]

T = TypeVar("T")


def refused(file: SourceFile, error: Exception, content_hash: str = "", *, reader: str = "file") -> Rejection:
    """Return the rejection of a document.

    Args:
        file: Where it stands.
        error: What went wrong; whatever a parser makes of one bad file, the batch goes on.
        content_hash: Hash of its bytes.
        reader: Who read it, for a failure that says nothing by itself.

    Raises:
        ConfigError: The same, if it is no fault of the document.
    """
    if isinstance(error, ConfigError):
        raise error
    if isinstance(error, DocumentError):
        reason = f"{error}; {error.hint}" if error.hint else str(error)
        return Rejection(file, error.stage, reason, content_hash, error.rule)
    reason = f"the {reader} reader failed: {type(error).__name__}: {str(error)[:500]}"
    return Rejection(file, "cleanse", reason, content_hash)


def usable(make: Callable[[], T], file: SourceFile, content_hash: str, *, reader: str) -> T | Rejection:
    """Return what ``make`` returns, or a rejection with the reason why it failed.

    Args:
        make: Makes the document, or a part of it.
        file: Where it stands.
        content_hash: Hash of its bytes.
        reader: Who reads it, for a failure that says nothing by itself.

    Raises:
        ConfigError: If it is no fault of the document.
    """
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - see ``refused``
        return refused(file, error, content_hash, reader=reader)
