"""What tables of a configuration file have in common: keys that several of them know, and where things come from."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tenire.app.config_values import amount, choice, names, pattern, sources, text

__all__ = [
    "EMBEDDER",
    "ONE_PATH",
    "POSITIVE",
    "After",
    "EmbedderName",
    "ListSettings",
    "PriorityName",
    "QuerySettings",
    "RowSources",
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
RowSources = Annotated[tuple[str, ...] | QuerySettings, sources(list=ListSettings, database=QuerySettings)]
EmbedderName = Annotated[str, EMBEDDER]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table of the file; unknown keys are refused by the reader."""
