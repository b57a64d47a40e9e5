"""Parquet: a batch of rows at a time, so that only their text is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenire.documents.readers.reading import Raw, Reading, damaged
from tenire.documents.readers.records import block, joined
from tenire.errors import DocumentError, MissingExtraError
from tenire.protocols import About

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read"]

_ROWS = 1024


def read(raw: Raw) -> Reading:
    """Read a table as records.

    Raises:
        DocumentError: If it is damaged, or too long as a text.
        MissingExtraError: If pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("reading Parquet files", extra="data", missing="pyarrow") from error
    try:
        table = pq.ParquetFile(pa.BufferReader(raw.data))
        text = joined(raw, _blocks(table))
    except DocumentError:
        raise
    except Exception as error:
        raise damaged(raw, "a Parquet file", error) from error
    extra = (("rows", str(table.metadata.num_rows)), ("columns", ", ".join(table.schema_arrow.names)))
    return Reading(text, about=About("parquet", extra=extra))


def _blocks(table: Any) -> Iterator[str]:
    for batch in table.iter_batches(batch_size=_ROWS, use_threads=False):
        for row in batch.to_pylist():
            yield block(row)
