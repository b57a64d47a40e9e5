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


def refused(file: SourceFile, error: DocumentError, content_hash: str = "") -> Rejection:
    """Return the rejection of a document."""
    reason = f"{error}; {error.hint}" if error.hint else str(error)
    return Rejection(file, error.stage, reason, content_hash, error.rule)


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
    except DocumentError as error:
        return refused(file, error, content_hash)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a parser makes of one bad file, the batch goes on
        reason = f"the {reader} reader failed: {type(error).__name__}: {str(error)[:500]}"
        return Rejection(file, "cleanse", reason, content_hash)
