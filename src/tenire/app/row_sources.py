"""Where a pipeline's rows or documents come from, as its configuration says: files, or a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenire.app.config_schema import DocumentsPipeline, PythonDocuments, QuerySettings
from tenire.app.config_tables import PageSettings
from tenire.app.config_values import is_dsn
from tenire.app.produced import absolute, produced_before
from tenire.app.refusals import about
from tenire.errors import ConfigError
from tenire.pipeline.files import FileSource
from tenire.pipeline.item_source import ItemSource
from tenire.pipeline.rows.query import QuerySource
from tenire.pipeline.rows.source import RowSource
from tenire.pipeline.stages.items import items_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from tenire.app.config import Config
    from tenire.pipeline.rows.records import Rows

__all__ = ["documents_of", "rows_of"]


def documents_of(
    config: Config, name: str, pipeline: DocumentsPipeline, chosen: Collection[str], exclude: Sequence[Path]
) -> FileSource | ItemSource:
    """Return where the documents of a pipeline come from.

    Args:
        config: A checked configuration.
        name: The pipeline.
        pipeline: What it says.
        chosen: All pipelines that run.
        exclude: Directories that are never entered.

    Raises:
        ConfigError: If there should be rows already that cannot be read.
    """
    assert not isinstance(pipeline.source, PageSettings)  # those come from a crawl
    source, items = pipeline.source, pipeline.items if isinstance(pipeline, PythonDocuments) else None
    if isinstance(source, tuple) and items is None:
        return FileSource(source, config.base, exclude=exclude)
    if pipeline.boilerplate:
        with about(config, f"pipelines.{name}.boilerplate"):
            message = "boilerplate goes with files, which can be read twice, got rows"
            raise ConfigError(message, key="boilerplate", hint="leave it out")
    if isinstance(source, tuple):
        return ItemSource(items_of(items, name))
    rows, there = rows_of(config, name, source if isinstance(source, QuerySettings) else source.paths, chosen)
    if there:
        with about(config, f"pipelines.{name}.source"):
            rows.require_fields(["text"], "source")
    return ItemSource(rows)


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
