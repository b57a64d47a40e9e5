"""What tables of a configuration file have in common: keys that several of them know, and where things come from."""

from __future__ import annotations

import os
from typing import Annotated

import msgspec

from tenire.app.config_values import amount, choice, names, pattern, sources, text

__all__ = [
    "EMBEDDER",
    "ONE_PATH",
    "POSITIVE",
    "After",
    "DocumentSources",
    "EmbedderName",
    "ListSettings",
    "PriorityName",
    "QuerySettings",
    "RowSources",
    "RowsSettings",
    "Sources",
    "Table",
    "Weight",
]


class ListSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``source = { list = "files.txt" }``: a file with a path on each line; settings hold these paths instead.

    Attributes:
        list: The file. Relative paths in it start at its own directory.
    """

    list: Annotated[str, msgspec.Meta(min_length=1)]


class QuerySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``source = { database = "x.db", query = "SELECT …" }``: rows of a database.

    Attributes:
        database: A SQLite file, or the DSN of a PostgreSQL server.
        query: What returns the rows.
    """

    database: Annotated[str, msgspec.Meta(min_length=1)]
    query: Annotated[str, msgspec.Meta(min_length=1)]


class RowsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``source = { rows = "reviews.jsonl" }``: for documents, each row of such files is one.

    Attributes:
        rows: Files or patterns, one or several: JSON lines, CSV or Parquet.
    """

    rows: (
        Annotated[str, msgspec.Meta(min_length=1)]
        | Annotated[tuple[Annotated[str, msgspec.Meta(min_length=1)], ...], msgspec.Meta(min_length=1)]
    )

    @property
    def paths(self) -> tuple[str, ...]:
        """The files or patterns."""
        return tuple(map(os.path.expanduser, (self.rows,) if isinstance(self.rows, str) else self.rows))


POSITIVE = "a positive whole number"
ONE_PATH = text("a path that is not empty")
EMBEDDER = pattern(
    '"auto", "minilm", "static" or "openai:MODEL"',
    r"auto|minilm|static|openai:\S+",
    choices=("auto", "minilm", "static"),
)

Weight = Annotated[float, amount("a number above 0, from 0.000001 to 1000000", minimum=1e-6, maximum=1e6)]
PriorityName = Annotated[str, choice("critical", "high", "normal", "low", "idle")]
After = Annotated[tuple[str, ...], names("a list of names of pipelines")]
Sources = Annotated[tuple[str, ...], sources(list=ListSettings)]
DocumentSources = Annotated[
    tuple[str, ...] | QuerySettings | RowsSettings,
    sources(list=ListSettings, database=QuerySettings, rows=RowsSettings),
]
RowSources = Annotated[tuple[str, ...] | QuerySettings, sources(list=ListSettings, database=QuerySettings)]
EmbedderName = Annotated[str, EMBEDDER]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table of the file; unknown keys are refused by the reader."""
