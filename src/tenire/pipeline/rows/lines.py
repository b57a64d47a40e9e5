"""Records as lines of JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["item_of", "items_of", "line"]

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def line(record: dict[str, Any]) -> bytes:
    """Return one line of JSON, with its line break."""
    try:
        return msgspec.json.encode(record) + b"\n"
    except UnicodeEncodeError:  # half of a pair of surrogates, which only an escape can say
        return json.dumps(record).encode() + b"\n"


def item_of(record: bytes) -> dict[str, Any]:
    """Return what a line says.

    Raises:
        ValueError: If it is no JSON object.
    """
    try:
        return _decode(record)
    except (msgspec.DecodeError, ValueError):  # an escape that is half of a pair, or no line of ours
        found = json.loads(record)
    if not isinstance(found, dict):
        message = f"expected a JSON object, got {type(found).__name__}"
        raise ValueError(message)  # noqa: TRY004 - one class for every line that is none
    return found


def items_of(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Return what lines say, where several of them may be in one piece."""
    return (item_of(line) for piece in lines for line in piece.splitlines())
