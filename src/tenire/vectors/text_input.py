"""What any string must go through before a tokenizer sees it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["readable", "usable_cores"]


def readable(texts: Sequence[Any], *, limit: int) -> list[str]:
    """Return texts that every tokenizer accepts.

    Args:
        texts: Any strings.
        limit: Characters to keep of each. A tokenizer reads the whole text
            before it truncates, so a 100 MB string would cost seconds and
            gigabytes for the sake of its first page.

    Returns:
        As many strings, without lone surrogates (they have no UTF-8 form).

    Raises:
        TypeError: If an item is not a string.
    """
    return [_readable(text[:limit]) if isinstance(text, str) else _refuse(text) for text in texts]


def _readable(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def _refuse(text: object) -> str:
    raise TypeError(f"texts must be strings, got {type(text).__name__}")


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
