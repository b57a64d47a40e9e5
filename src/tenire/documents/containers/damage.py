"""The refusal of a container whose bytes make no sense."""

from __future__ import annotations

from tenire.errors import DocumentError

__all__ = ["damaged"]


def damaged(source: str, expected: str, doing: str, error: BaseException | str) -> DocumentError:
    """Return it.

    Args:
        source: The container's source.
        expected: What it should be: ``a ZIP archive``.
        doing: What could not be done to it: ``unpacked``.
        error: What was found.
    """
    return DocumentError(
        f"expected {expected}, got something that cannot be {doing}: {error}",
        source=source,
        stage="unpack",
        hint="the file is damaged or cut off; get it again, or leave it out",
    )
