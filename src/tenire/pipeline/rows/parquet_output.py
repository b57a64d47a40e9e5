"""The output of a pipeline as one Parquet file.

Parquet cannot be added to, so the file is written as a whole at the end of a run that
has changed something, with one type for each column over all of its rows. Until then it is
what it was; the ledger has what is finished.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

from tenire.errors import MissingExtraError
from tenire.pipeline.rows.columns import as_column, column_types
from tenire.pipeline.rows.lines import items_of
from tenire.pipeline.rows.output import check_place, foreign, mark_of, replacing, unreadable, unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

__all__ = ["ParquetOutput"]

_ROWS_AT_ONCE = 8192
_TYPES = b"tenire"


class ParquetOutput:
    """See ``Output``.

    Args:
        path: Absolute path of the file.
        pipeline: Whose it is, for errors.
    """

    ordered = True

    def __init__(self, path: Path, *, pipeline: str) -> None:
        self.path = path
        self._pipeline = pipeline

    def check(self, *, own: bool = False) -> None:
        """See ``Output``.

        Raises:
            MissingExtraError: If pyarrow is not installed.
        """
        if find_spec("pyarrow") is None:
            raise MissingExtraError("writing Parquet", extra="data", missing="pyarrow")
        check_place(self.path)
        if self.path.exists() and not own:
            raise foreign(self.path)

    def mark(self) -> str:
        """See ``Output``."""
        return mark_of(self.path)

    def append(self, lines: Iterable[bytes]) -> bool:
        """Do nothing; see ``Output``."""
        return not any(lines)

    def replace(self, lines: Iterable[bytes]) -> None:
        """See ``Output``."""
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        types = {"id": "null", **column_types(items_of(lines))}
        fields = [(name, _arrow_type(arrow, kind)) for name, kind in types.items()]
        schema = arrow.schema(fields, metadata={_TYPES: json.dumps(types).encode()})
        items = items_of(lines)
        try:
            with (
                replacing(self.path) as temporary,
                parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
            ):
                while records := list(islice(items, _ROWS_AT_ONCE)):
                    columns = [
                        arrow.array([as_column(record.get(name), kind) for record in records], type=type_)
                        for (name, kind), (_, type_) in zip(types.items(), fields, strict=True)
                    ]
                    writer.write_table(arrow.table(columns, schema=schema))
        except (OSError, arrow.ArrowException) as error:
            raise unwritable(self.path, self._pipeline, error) from error

    def read(self) -> tuple[Iterable[dict[str, Any]], Callable[[dict[str, Any]], dict[str, Any]]]:
        """See ``Output``."""
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                types: dict[str, str] = json.loads((file.schema_arrow.metadata or {}).get(_TYPES, b"{}"))
        except (OSError, ValueError, arrow.ArrowException) as error:
            raise unreadable(self.path, self._pipeline, error) from error

        def shown(record: dict[str, Any]) -> dict[str, Any]:
            return {name: _as_column_or_itself(value, types.get(name)) for name, value in record.items()}

        return self._records(), shown

    def _records(self) -> Iterator[dict[str, Any]]:
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(_ROWS_AT_ONCE):
                    yield from batch.to_pylist()
        except (OSError, arrow.ArrowException) as error:
            raise unreadable(self.path, self._pipeline, error) from error

    def close(self) -> None:
        """Do nothing; see ``Output``."""


def _as_column_or_itself(value: Any, kind: str | None) -> Any:
    """Return what ought to stand in a column; of a type that it does not fit, the value itself: then they differ."""
    try:
        return as_column(value, kind) if kind is not None else value
    except (TypeError, ValueError, AttributeError):
        return value


def _arrow_type(arrow: Any, kind: str) -> Any:
    if kind.startswith("list of "):
        return arrow.list_(_arrow_type(arrow, kind.removeprefix("list of ")))
    plain = {"bool": arrow.bool_(), "int": arrow.int64(), "float": arrow.float64()}
    return plain.get(kind, arrow.string())
