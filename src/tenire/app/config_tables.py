"""What tables of a configuration file have in common: keys that several of them know, and where things come from."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import msgspec

from tenire.app.config_values import amount, choice, names, pattern, sources, text

__all__ = [
    "EMBEDDER",
    "ONE_PATH",
    "POSITIVE",
    "After",
    "DocumentSources",
    "EmbedderName",
    "EngineSettings",
    "ListSettings",
    "PageSettings",
    "PriorityName",
    "QuerySettings",
    "RowSources",
    "RowsSettings",
    "Sources",
    "Table",
    "Weight",
]


_Some = Annotated[str, msgspec.Meta(min_length=1)]


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


class PageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``source = { urls = "urls.txt", depth = 1 }``: web pages.

    Attributes:
        urls: A file with an address on each line, an address, or a list of addresses; settings
            hold the addresses.
        depth: How many links are followed from these, on their hosts.
        limit: Most pages.
        delay_s: Seconds between two pages of a host.
        at_once: Most pages of a host at the same time.
        timeout_s: Seconds for one page.
        robots: Whether ``robots.txt`` is kept to.
        private: What of private networks may be reached, or whether all of it.
        session: Whose cookies pages are fetched with.
    """

    urls: _Some | tuple[_Some, ...]
    depth: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 1000
    delay_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 1.0
    at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 30.0
    robots: bool = True
    private: tuple[_Some, ...] | bool = ()
    session: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``engine = "ray"``, or ``engine = { kind = "ray", address = "10.0.0.1:6379" }``: what runs stages.

    Attributes:
        kind: ``local`` or ``ray``.
        address: Of a cluster that is there; ``None``: one is started on this machine.
    """

    kind: Literal["local", "ray"] = "local"
    address: Annotated[str, msgspec.Meta(pattern=r"^(auto|[^\s:/]+:[0-9]{1,5})$")] | None = None

    def __post_init__(self) -> None:
        if self.address is not None and self.kind == "local":
            message = 'an address goes with kind = "ray"'
            raise ValueError(message)


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
    tuple[str, ...] | QuerySettings | RowsSettings | PageSettings,
    sources(list=ListSettings, database=QuerySettings, rows=RowsSettings, urls=PageSettings),
]
RowSources = Annotated[tuple[str, ...] | QuerySettings, sources(list=ListSettings, database=QuerySettings)]
EmbedderName = Annotated[str, EMBEDDER]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table of the file; unknown keys are refused by the reader."""
