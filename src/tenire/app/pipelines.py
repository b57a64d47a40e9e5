"""Pipelines from Python: describe them, run them side by side."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.app.config import (
    Config,
    DocumentsPipeline,
    StagesPipeline,
    TenireSettings,
    check_together,
    pipeline_from_python,
)
from tenire.app.config_schema import PythonDocuments, PythonStages
from tenire.app.runs import arun_config
from tenire.concurrency.blocking import run_blocking
from tenire.concurrency.sendable import check_sendable
from tenire.core.tasks import Priority
from tenire.errors import ConfigError
from tenire.pipeline.named_functions import name_of
from tenire.pipeline.stages.items import items_of
from tenire.pipeline.stages.stage import ReadyStage, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.app.config import PipelineSettings
    from tenire.pipeline.progress import RunReport

__all__ = ["Pipeline", "arun", "run"]

_OF_STAGES = ("name", "source", "stages", "sink", "weight", "priority", "after")


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Documents on their way into a searchable store; or, with ``sink``, items through stages into a file.

    The same keys, with the same meaning and the same checks, as a table
    ``[pipelines.NAME]`` of a configuration file.

    Attributes:
        name: Its name; what it has read is remembered under it.
        source: Directories, files and patterns, one or several; relative ones
            start at the current directory; or ``{"list": "files.txt"}``, a file with a path on each
            line. With ``sink``, files are those of rows: JSON lines, CSV or Parquet; documents say
            ``{"rows": "reviews.jsonl"}`` where each row of a file is one. or
            ``{"urls": "urls.txt", "depth": 1}``, web pages. Both take
            ``{"database": "x.db", "query": "SELECT …"}``, also with a DSN of PostgreSQL, and items:
            an iterable, also an asynchronous one, of dicts or texts, or a function without
            arguments that returns one. An item is known by its ``id``, one without by its
            content; what is not there any more leaves the file or the store, too.
        embedder: ``auto``, ``minilm`` or ``static``.
        store: ``lancedb`` for the home's own store, a directory, or the address of a PostgreSQL server.
        weight: Share against the other pipelines.
        priority: Level against the other pipelines.
        after: Names of pipelines of the same run that must have ended before.
        max_file: Largest file that is read, bytes.
        max_expanded: The most that may come out of one archive or compressed file, bytes.
        file_timeout_s: Seconds that a parser may take for one file.
        passage_tokens: Most tokens of a passage; ``None``: 700 characters.
        overlap: Part of a passage, 0 to 0.5, that the next one of its section repeats; ``None``: nothing.
        validate: What a document has to be like: the keys of ``[pipelines.NAME.validate]``.
        quality: When a document is not worth finding: the keys of ``[pipelines.NAME.quality]``.
        mask: Kinds of personal data that are masked: ``email``, ``phone``, ``card``, ``iban``, ``ip``.
        language: Whether to find out in which language a text is.
        boilerplate: In which share of the documents a line has to stand, at their ends, to be
            taken out; ``False`` where all stay.
        near_duplicates: From which share of words in common on two documents are nearly the
            same, so that one stands for both; ``False`` where that makes no difference.
        stages: Functions that items go through, in order, or names ``module:function``; see ``tenire.stage``.
            Documents go through them in worker processes, after cleansing and before they are cut.
        sink: The file that items go to in the end: ``.jsonl``, ``.parquet``, or ``.db`` for SQLite.
            It shows exactly the items that are done, each once.
    """

    name: str
    source: Any
    embedder: str = "auto"
    store: str = "lancedb"
    weight: float = 1.0
    priority: Priority | str = Priority.NORMAL
    after: Sequence[str] = ()
    max_file: int = 64 << 20
    max_expanded: int = 1 << 30
    file_timeout_s: float = 120.0
    passage_tokens: int | None = None
    overlap: float | None = None
    validate: Mapping[str, Any] | None = None
    quality: Mapping[str, Any] | None = None
    mask: Sequence[str] = ()
    language: bool = True
    boilerplate: float | bool = False
    near_duplicates: float | bool = False
    stages: Sequence[Callable[..., Any] | str] = ()
    sink: str | os.PathLike[str] | None = None

    def settings(self) -> PipelineSettings:
        """Return the checked settings.

        Raises:
            ConfigError: Names the key, the value and what was expected.
        """
        return self._documents() if self.sink is None else self._stages()

    def _stages(self) -> PythonStages:
        source = _written(self.source)
        names = [stage for stage in self.stages if isinstance(stage, str)]
        self._refuse_others()
        table = {
            "recipe": "stages",
            "source": source if source is not None else ["-"],
            "stages": names,
            "sink": os.fspath(self.sink or ""),
            "weight": self.weight,
            "priority": self._priority,
            "after": list(self.after),
        }
        checked = pipeline_from_python(self.name, table)
        assert isinstance(checked, StagesPipeline)
        found = iter(checked.stages)
        return PythonStages(
            source=checked.source if source is not None else (),
            stages=checked.stages,
            sink=checked.sink,
            weight=checked.weight,
            priority=checked.priority,
            after=checked.after,
            items=None if source is not None else self.source,
            functions=tuple(next(found) if isinstance(stage, str) else stage for stage in self.stages),
        )

    def _refuse_others(self) -> None:
        """Refuse what only documents have."""
        for other in fields(self):
            if other.name not in _OF_STAGES and getattr(self, other.name) != other.default:
                message = f"{other.name} goes with documents, which have no sink, got {getattr(self, other.name)!r:.60}"
                raise ConfigError(message, key=other.name)

    @property
    def _priority(self) -> str:
        return self.priority.name.lower() if isinstance(self.priority, Priority) else self.priority

    def _documents(self) -> DocumentsPipeline:
        source = _written(self.source)
        if source is None:
            items_of(self.source, self.name)  # or it is refused here, with what was expected
        table = {
            "source": source if source is not None else ["-"],
            "embedder": self.embedder,
            "store": self.store,
            "weight": self.weight,
            "priority": self._priority,
            "after": list(self.after),
            "max_file": self.max_file,
            "max_expanded": self.max_expanded,
            "file_timeout_s": self.file_timeout_s,
            "passage_tokens": self.passage_tokens,
            "overlap": self.overlap,
            "validate": self.validate,
            "quality": self.quality,
            "mask": list(self.mask),
            "language": self.language,
            "boilerplate": self.boilerplate,
            "near_duplicates": self.near_duplicates,
            "stages": [stage for stage in self.stages if isinstance(stage, str)],
        }
        table = {key: value for key, value in table.items() if value is not None}
        checked = pipeline_from_python(self.name, table)
        assert isinstance(checked, DocumentsPipeline)
        written = iter(checked.stages)
        names = tuple(next(written) if isinstance(stage, str) else _name(stage) for stage in self.stages)
        checked = msgspec.structs.replace(checked, stages=names)
        if source is not None:
            return checked
        facts = msgspec.structs.asdict(checked) | {"source": ()}
        return PythonDocuments(**facts, items=self.source)


def _name(function: Any) -> str:
    """Return the name by which a worker process finds a function.

    Raises:
        ConfigError: If it would not find it.
    """
    if isinstance(function, ReadyStage):
        message = f"documents are embedded anyway, and take functions of yours as stages, got {function!r:.80}"
        raise ConfigError(message, key="stages", hint="a pipeline with a sink takes this one")
    Stage.of(function)
    check_sendable(function)
    return name_of(function)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _written(source: Any) -> Any:
    """Return a source as a configuration file would have it, or ``None`` if it is something else."""
    if isinstance(source, Mapping):
        return {name: _plain(value) for name, value in source.items()}
    entries = [source] if isinstance(source, str | os.PathLike) else source
    if isinstance(entries, list | tuple) and entries and all(isinstance(each, str | os.PathLike) for each in entries):
        return [os.fspath(each) for each in entries]
    return None


async def arun(
    *pipelines: Pipeline,
    home: str | os.PathLike[str] = ".tenire",
    cpu: int | None = None,
    memory: int | None = None,
    upgrade_embedder: bool = False,
) -> RunReport:
    """Run pipelines side by side.

    Args:
        *pipelines: What to run; their names must differ.
        home: Directory of the ledger and the store.
        cpu: Worker slots; default: what the machine really offers, less one.
        memory: Bytes in flight, all pipelines together.
        upgrade_embedder: Whether a store that was built with another embedder goes over to
            the one that the pipelines name; searches see the old one until all is embedded.

    Returns:
        What was done. A pipeline that failed is in ``report.failed``; the others
        went on.

    Raises:
        ConfigError: If nothing could start because of what was asked for.
        StoreError: If the home cannot be used.
    """
    config = await run_blocking(_config, pipelines, home, cpu, memory)
    return await arun_config(msgspec.structs.replace(config, upgrade_embedder=upgrade_embedder))


def _config(
    pipelines: tuple[Pipeline, ...], home: str | os.PathLike[str], cpu: int | None, memory: int | None
) -> Config:
    if not pipelines:
        message = "expected at least one Pipeline to run"
        raise ConfigError(message)
    described = {pipeline.name: pipeline.settings() for pipeline in pipelines}
    if len(described) != len(pipelines):
        names = [pipeline.name for pipeline in pipelines]
        twice = next(name for name in names if names.count(name) > 1)
        message = f"pipelines must have different names, got {twice!r} twice"
        raise ConfigError(message, key="name")
    check_together(described)
    settings = TenireSettings(home=Path(os.path.abspath(home)), cpu=cpu, memory=memory)
    return Config(tenire=settings, pipelines=dict(described), quotas={}, base=Path.cwd())


def run(
    *pipelines: Pipeline,
    home: str | os.PathLike[str] = ".tenire",
    cpu: int | None = None,
    memory: int | None = None,
    upgrade_embedder: bool = False,
) -> RunReport:
    """Run pipelines side by side and wait for them; see ``arun``.

    Raises:
        RuntimeError: Inside a running event loop; there, ``await tenire.arun(…)``.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(arun(*pipelines, home=home, cpu=cpu, memory=memory, upgrade_embedder=upgrade_embedder))
    message = "tenire.run() would block the running event loop; use `await tenire.arun(…)` here"
    raise RuntimeError(message)
