"""Values of tables and databases as what JSON can hold."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from tenire.pipeline.rows.records import BrokenRow, content_hash, row_or_broken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenire.pipeline.rows.records import Row

__all__ = ["row_of_values"]


def row_of_values(fields: Mapping[str, Any], *, file: str, place: str, size: int) -> Row | BrokenRow:
    """Return the row of these values. Dates become texts in ISO 8601, bytes become texts if they are UTF-8."""
    try:
        plain = {name: _plain(value) for name, value in fields.items()}
    except UnicodeDecodeError:
        error = f"{place}: expected text, got bytes that are not UTF-8"
        return BrokenRow(file, place, error, content_hash(repr(fields)), size)
    return row_or_broken(plain, file=file, place=place, size=size)


def _plain(value: Any) -> Any:
    """Return what JSON can hold."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode()
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date | datetime | time) else str(value)
