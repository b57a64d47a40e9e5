"""Rows from Parquet files, some hundred at a time."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from tenire.errors import ConfigError, MissingExtraError
from tenire.pipeline.rows.records import BrokenRow, content_hash, row_or_broken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.pipeline.rows.records import Row

__all__ = ["read_parquet"]

_AT_ONCE = 256


def read_parquet(path: str) -> Iterator[Row | BrokenRow]:
    """Yield the rows of a file. Dates become texts in ISO 8601, bytes become texts if they are UTF-8.

    Raises:
        MissingExtraError: If pyarrow is not installed.
        ConfigError: If it is no Parquet file, or a damaged one.
        OSError: If it cannot be read.
    """
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtraError("reading Parquet", extra="data", missing="pyarrow") from error
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            rows = max(1, file.metadata.num_rows)
            size = sum(file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)) // rows
            for batch in file.iter_batches(_AT_ONCE):
                for fields in batch.to_pylist():
                    number += 1
                    yield _row(fields, path, f"row {number}", size)
    except arrow.ArrowException as error:
        message = f"{path} is not a whole Parquet file ({error})"
        raise ConfigError(message, key="source", hint="write it anew, or leave it out") from error


def _row(fields: dict[str, Any], path: str, place: str, size: int) -> Row | BrokenRow:
    try:
        plain = {name: _plain(value) for name, value in fields.items()}
    except UnicodeDecodeError:
        error = f"{place}: expected text, got bytes that are not UTF-8"
        return BrokenRow(path, place, error, content_hash(repr(fields)), size)
    return row_or_broken(plain, file=path, place=place, size=size)


def _plain(value: Any) -> Any:
    """Return what JSON can hold."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date | datetime | time) else str(value)
