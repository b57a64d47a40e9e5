"""What tests have worker processes do with blobs."""

from __future__ import annotations

from typing import Any

__all__ = ["content", "edges", "kind"]


def content(blob: Any) -> bytes:
    return bytes(blob.read())


def edges(blobs: list[Any]) -> list[tuple[int, int, int]]:
    found = []
    for blob in blobs:
        with blob.open() as view:
            found.append((len(view), view[0], view[-1]))
    return found


def kind(blob: Any) -> str:
    return type(blob).__name__
