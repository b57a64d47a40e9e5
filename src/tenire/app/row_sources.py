"""Where the rows of a pipeline come from, as its configuration says: files, or a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.app.config_schema import QuerySettings
from tenire.app.config_values import is_dsn
from tenire.app.produced import absolute, produced_before
from tenire.app.refusals import about
from tenire.pipeline.rows.query import QuerySource
from tenire.pipeline.rows.source import RowSource

if TYPE_CHECKING:
    from collections.abc import Collection

    from tenire.app.config import Config
    from tenire.pipeline.rows.records import Rows

__all__ = ["rows_of"]


def rows_of(
    config: Config, name: str, source: tuple[str, ...] | QuerySettings, chosen: Collection[str], *, key: str = "source"
) -> tuple[Rows, bool]:
    """Return the rows that a source is.

    Args:
        config: A checked configuration.
        name: The pipeline.
        source: What it says of its source.
        chosen: All pipelines that run.
        key: The setting that says it, for messages.

    Returns:
        The rows, and whether they are there already; otherwise a pipeline that runs before writes them.

    Raises:
        ConfigError: If they should be there and cannot be read; names the key.
    """
    before = produced_before(config, name, chosen)
    rows: QuerySource | RowSource
    if isinstance(source, QuerySettings):
        database = source.database if is_dsn(source.database) else absolute(config.base, source.database)
        rows, there = QuerySource(database, source.query), database not in before
    else:
        rows = RowSource(source, config.base, exclude=(config.tenire.home,))
        there = not any(absolute(config.base, path) in before for path in source)
    if there:
        with about(config, f"pipelines.{name}.{key}"):
            rows.check()
    return rows, there
