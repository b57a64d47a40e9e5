"""The row source: the rows of the files that a user named, one after the other.

Nothing is held but the row that is being looked at, so files may be of any size.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tenire.errors import ConfigError
from tenire.pipeline.files import FileSource
from tenire.pipeline.listing import Skipped, printable
from tenire.pipeline.rows.jsonl import read_jsonl
from tenire.pipeline.rows.parquet import read_parquet
from tenire.pipeline.rows.records import BrokenRow, Row, missing_field
from tenire.pipeline.rows.tables import read_table
from tenire.protocols import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["RowSource"]

_READERS = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_table,
    ".tsv": read_table,
    ".parquet": read_parquet,
}
_SAMPLE = 100


class RowSource:
    """Reads rows from JSON lines, CSV and Parquet; by a file's ending.

    Args:
        paths: Files, patterns or directories; relative ones start at ``base``. In a
            directory, files of other types are passed over.
        base: Where relative paths start; default: the current directory.
        exclude: Directories that are never entered.
    """

    repeatable = True

    def __init__(self, paths: Sequence[str], base: Path | None = None, *, exclude: Sequence[Path] = ()) -> None:
        self._paths = tuple(paths)
        self._base = os.path.abspath(base if base is not None else os.curdir)
        self._files = FileSource(paths, base, exclude=exclude)

    def check(self) -> None:
        """Refuse what cannot be meant, before anything starts.

        Raises:
            ConfigError: If a named file is missing, may not be read, or is of a type
                that holds no rows.
        """
        self._files.check()
        for written in self._paths:
            path = os.path.join(self._base, written)
            if os.path.isfile(path) and _suffix(path) not in _READERS:
                message = f"rows come from files that end with {', '.join(_READERS)}, got {printable(written)}"
                raise ConfigError(message, key="source", hint="one JSON object a line makes a .jsonl file")

    def files(self) -> Iterator[str]:
        """Yield the paths of all files, in a fixed order.

        Raises:
            ConfigError: If a named path is missing by now, or something cannot be
                read: its rows would seem to have left.
        """
        for item in self._files.walk():
            if isinstance(item, Rejection):
                message = f"{printable(item.file.path)} cannot be read for rows: {item.error}"
                raise ConfigError(message, key="source", hint="leave it out, or mend it")
            if not (isinstance(item, Skipped) and _suffix(item.path) != ".parquet"):
                path = item.path
                if _suffix(path) in _READERS:
                    yield path

    def rows(self) -> Iterator[Row | BrokenRow]:
        """Yield all rows in order.

        Raises:
            TenireError: If a file as a whole cannot be read.
        """
        for path in self.files():
            try:
                yield from _READERS[_suffix(path)](path)
            except OSError as error:
                message = f"{printable(path)} cannot be read: {error.strerror or error}"
                raise ConfigError(
                    message, key="source", hint="nothing was removed; run again once it can be"
                ) from error

    async def fetch(self) -> None:
        """Do nothing: files are read where rows are asked for."""

    def require_fields(self, fields: Sequence[str], key: str) -> None:
        """Check on the first rows that there are such fields.

        Args:
            fields: Names of fields that a template uses.
            key: The setting that uses them, for the message.

        Raises:
            ConfigError: Names the first field that none of these rows has, and theirs.
        """
        known: dict[str, None] = {}
        for count, row in enumerate(self.rows()):
            if isinstance(row, Row):
                known.update(dict.fromkeys(row.fields))
            if count >= _SAMPLE or all(field in known for field in fields):
                break
        missing = next((field for field in fields if field not in known), None)
        if missing is not None and known:
            raise missing_field(missing, key, got=f"the rows of {', '.join(self._paths)} have: {', '.join(known)}")

    def sizes(self) -> Iterator[int]:
        """Read all rows once more, without the ledger; rows are counted, not their bytes: yield 0 for each."""
        return (0 for _ in self.rows())


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()
