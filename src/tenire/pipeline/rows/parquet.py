"""Rows from Parquet files, some hundred at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.errors import ConfigError, MissingExtraError
from tenire.pipeline.rows.values import row_of_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tenire.pipeline.rows.records import BrokenRow, Row

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
                    yield row_of_values(fields, file=path, place=f"row {number}", size=size)
    except arrow.ArrowException as error:
        message = f"{path} is not a whole Parquet file ({error})"
        raise ConfigError(message, key="source", hint="write it anew, or leave it out") from error
