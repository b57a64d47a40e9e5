"""The configuration: read, checked as a whole, and asked what this version runs.

::

    file ── parse_toml ── Reader.struct (each table) ── relations between tables ── Config
                                                                                      │
    paths of `ingest` ──────────────── ingest_config ─────────────────────────────────┤
                                                                                      ▼
                                                              check_runnable: recipe, store, sources

Nothing is created on disk here, so a refused configuration leaves no trace.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.app.config_reading import Reader, parse_toml, suggestion
from tenire.app.config_schema import (
    EMBEDDER,
    RECIPES,
    ChatPipeline,
    ClassifyPipeline,
    Config,
    DocumentsPipeline,
    PipelineSettings,
    PriceSettings,
    QuotaSettings,
    StagesPipeline,
    TenireSettings,
)
from tenire.app.config_sources import addressed, listed
from tenire.app.config_tables import ListSettings, PageSettings, QuerySettings
from tenire.app.config_values import is_dsn, parse_size, show
from tenire.app.refusals import about
from tenire.errors import ConfigError
from tenire.pipeline.named_functions import located
from tenire.pipeline.rows.template import Template
from tenire.vectors.postgres.address import ServerAddress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "DEFAULT_FILE",
    "DEFAULT_HOME",
    "ChatPipeline",
    "ClassifyPipeline",
    "Config",
    "DocumentsPipeline",
    "PipelineSettings",
    "PriceSettings",
    "QuotaSettings",
    "StagesPipeline",
    "TenireSettings",
    "check_runnable",
    "check_together",
    "ingest_config",
    "is_dsn",
    "load_config",
    "parse_size",
    "pipeline_from_python",
]

DEFAULT_FILE = "tenire.toml"
DEFAULT_HOME = ".tenire"

# Names become file names in the home and columns on a terminal.
_NAME = re.compile(r"\w[\w .-]{0,63}")


def load_config(path: Path, *, home: Path | None = None) -> Config:
    """Read and check a configuration file.

    Args:
        path: The TOML file.
        home: A home that goes before the file's own; relative to the working
            directory.

    Raises:
        ConfigError: Names file, dotted key, the value and what was expected,
            for the first thing that is wrong.
    """
    shown = str(path)
    raw = parse_toml(path, shown)
    reader = Reader(shown)
    reader.known_keys(raw, ("tenire", "quotas", "pipelines"), "")
    base = Path(os.path.abspath(path)).parent
    settings = reader.struct(TenireSettings, reader.table(raw.get("tenire", {}), "tenire"), "tenire")
    home = Path(os.path.abspath(home)) if home is not None else _absolute(base, str(settings.home))
    settings = msgspec.structs.replace(settings, home=home)
    quotas = {
        name: reader.struct(QuotaSettings, reader.table(table, f"quotas.{name}"), f"quotas.{name}")
        for name, table in reader.table(raw.get("quotas", {}), "quotas").items()
    }
    tables = reader.table(raw.get("pipelines", {}), "pipelines")
    if not tables:
        message = "no pipeline: expected at least one table [pipelines.NAME]"
        raise reader.error(message, "pipelines", hint='for example [pipelines.docs] with source = "docs"')
    pipelines = {name: _pipeline(reader, name, table, base) for name, table in tables.items()}
    _check_quotas(reader, pipelines, quotas)
    _check_order(reader, pipelines)
    _check_outputs(reader, pipelines, base)
    _check_one_store(reader, pipelines)
    return Config(tenire=settings, pipelines=pipelines, quotas=quotas, base=base, file=shown)


def ingest_config(paths: Sequence[str], *, home: Path, store: str | None = None, embedder: str | None = None) -> Config:
    """Return the configuration of ``tenire ingest``: one pipeline named ``ingest``.

    Args:
        paths: Directories, files and patterns, relative to the working directory.
        home: The home directory.
        store: A directory or a DSN; ``None``: inside the home.
        embedder: An embedder's name; ``None``: ``auto``.

    Raises:
        ConfigError: If there is no path, or the embedder's name is unknown.
    """
    reader = Reader("")
    if not paths or not all(paths):
        message = "PATH must be a directory, a file or a pattern, got an empty text" if paths else "expected a PATH"
        raise reader.error(message, "PATH", hint="for example: tenire ingest docs")
    if embedder is not None:
        reader.value(embedder, "--embedder", EMBEDDER)
    if store == "":
        message = "--store must be a directory or a DSN, got an empty text"
        raise reader.error(message, "--store")
    if store is not None and is_dsn(store):
        _address(reader, store, "--store")
    elif store is not None and store != "lancedb":
        store = str(Path(os.path.abspath(store)))
    pipeline = DocumentsPipeline(source=tuple(paths), embedder=embedder or "auto", store=store or "lancedb")
    settings = TenireSettings(home=Path(os.path.abspath(home)))
    return Config(tenire=settings, pipelines={"ingest": pipeline}, quotas={}, base=Path.cwd(), partial=True)


def pipeline_from_python(name: str, table: Mapping[str, Any]) -> PipelineSettings:
    """Return the checked settings of a pipeline that was described in Python.

    Args:
        name: The pipeline's name.
        table: What a table of a configuration file would hold.

    Raises:
        ConfigError: Names the key, the value and what was expected.
    """
    return _pipeline(Reader(""), name, table, Path.cwd())


def check_together(pipelines: Mapping[str, PipelineSettings]) -> None:
    """Check pipelines that were described in Python against each other.

    ``after`` names pipelines that are there, and never comes back to itself; each output
    is a file of its own, and not what its pipeline reads.

    Raises:
        ConfigError: Names the key and the value, or the cycle.
    """
    _check_order(Reader(""), pipelines)
    _check_outputs(Reader(""), pipelines, Path.cwd())


def check_runnable(config: Config, only: Sequence[str] = ()) -> tuple[str, ...]:
    """Check that this version can run what was asked for, before anything starts.

    Args:
        config: A checked configuration.
        only: Names of the pipelines to run; empty for all.

    Returns:
        The names of the pipelines to run, in the order of the file.

    Raises:
        ConfigError: For an unknown name, or a source that cannot be read.
    """
    prefix = f"{config.file}: " if config.file else ""
    for name in only:
        if name not in config.pipelines:
            message = f'{prefix}no pipeline is named "{name}"{suggestion(name, config.pipelines)}'
            raise ConfigError(message, key="--only", hint=f"pipelines: {', '.join(config.pipelines)}")
    chosen = tuple(name for name in config.pipelines if not only or name in only)
    _check_sources(config, chosen)
    return chosen


def _check_sources(config: Config, chosen: Sequence[str]) -> None:
    # The file source needs a pipeline's rooms; reading a configuration does not.
    from tenire.pipeline.files import FileSource

    for name in chosen:
        pipeline = config.pipelines[name]
        # Whoever reads rows looks into them as well; pages are looked at when they are fetched.
        if isinstance(pipeline, DocumentsPipeline) and isinstance(pipeline.source, tuple) and pipeline.source:
            with about(config, f"pipelines.{name}.source"):
                FileSource(pipeline.source, config.base).check()


def _absolute(base: Path, written: str) -> Path:
    return Path(os.path.abspath(base / os.path.expanduser(written)))


def _pipeline(reader: Reader, name: str, value: Any, base: Path) -> PipelineSettings:
    key = f"pipelines.{name}"
    if _NAME.fullmatch(name) is None:
        message = f"pipelines has the name {show(name)}, which must be up to 64 letters, digits, spaces, _ . or -"
        raise reader.error(message, key)
    table = dict(reader.table(value, key))
    recipe = reader.choice(table.pop("recipe", "documents"), f"{key}.recipe", RECIPES)
    kind = RECIPES[recipe]
    valid = kind.__struct_fields__
    for unknown in (entry for entry in table if entry not in valid):
        # `prompt` under the default recipe: the recipe was forgotten, not the key misspelt.
        owners = [other for other, cls in RECIPES.items() if unknown in cls.__struct_fields__]
        note = f' ("{unknown}" is a key of recipe = "{owners[0]}")' if owners else ""
        reader.known_keys({unknown: table[unknown]}, {*valid, "recipe"}, key, note=note)
    settings = reader.struct(kind, table, key)
    for field in ("source", "train", "test"):
        written = getattr(settings, field, None)
        if isinstance(written, ListSettings):
            settings = msgspec.structs.replace(settings, **{field: listed(reader, written, f"{key}.{field}", base)})
        elif isinstance(written, PageSettings):
            settings = msgspec.structs.replace(settings, **{field: addressed(reader, written, f"{key}.{field}", base)})
    if isinstance(settings, DocumentsPipeline):
        settings = _with_functions(settings, base)
        return msgspec.structs.replace(settings, store=_store(reader, settings.store, f"{key}.store", base))
    if isinstance(settings, StagesPipeline):
        return msgspec.structs.replace(settings, stages=tuple(located(base, each) for each in settings.stages))
    if isinstance(settings, ChatPipeline):
        _check_templates(reader, settings, key)
    if isinstance(settings, ClassifyPipeline) and settings.source and settings.output is None:
        message = f"{key}.output is missing; it must be a path, since there is a source to label"
        raise reader.error(message, f"{key}.output")
    return settings


def _check_templates(reader: Reader, settings: ChatPipeline, key: str) -> None:
    for field in ("prompt", "system"):
        text = getattr(settings, field)
        try:
            if text is not None:
                Template(text)
        except ValueError as error:
            raise reader.error(f"{key}.{field} has {error}", f"{key}.{field}") from error


def _with_functions(settings: DocumentsPipeline, base: Path) -> DocumentsPipeline:
    settings = msgspec.structs.replace(settings, stages=tuple(located(base, each) for each in settings.stages))
    validate = settings.validate
    if validate is None or validate.function is None:
        return settings
    validate = msgspec.structs.replace(validate, function=located(base, validate.function))
    return msgspec.structs.replace(settings, validate=validate)


def _store(reader: Reader, store: str, key: str, base: Path) -> str:
    if store == "lancedb":
        return store
    if is_dsn(store):
        return _address(reader, store, key)
    # A bare word is a misspelt name, not a directory; the command line writes ./word.
    if os.sep not in store and "/" not in store and not store.startswith("~"):
        message = f'{key} must be "lancedb", a DSN or a directory such as "./{store}", got {show(store)}'
        raise reader.error(message + suggestion(store, ["lancedb"]), key)
    return str(_absolute(base, store))


def _address(reader: Reader, store: str, key: str) -> str:
    try:
        ServerAddress.of(store)
    except ConfigError as error:
        raise reader.error(f"{key}: {error}", key, hint=error.hint) from None
    return store


def _check_quotas(reader: Reader, pipelines: Mapping[str, PipelineSettings], quotas: Mapping[str, Any]) -> None:
    for name, pipeline in pipelines.items():
        key = f"pipelines.{name}.quota"
        if pipeline.quota is not None and pipeline.quota not in quotas:
            message = f"{key} must name a quota of this file, got {show(pipeline.quota)}"
            known = ", ".join(quotas) or f"none; add a table [quotas.{pipeline.quota}]"
            raise reader.error(message + suggestion(pipeline.quota, quotas), key, hint=f"quotas: {known}")
        if isinstance(pipeline, ChatPipeline) and pipeline.quota is None and not pipeline.local:
            message = f"{key} is missing; model = {show(pipeline.model)} needs the name of a quota"
            raise reader.error(message, key, hint='only model = "local" needs none')
        embedder = getattr(pipeline, "embedder", "")
        if embedder.startswith("openai:") and pipeline.quota is None:
            message = f"{key} is missing; embedder = {show(embedder)} needs the name of a quota"
            raise reader.error(message, key)


def _check_order(reader: Reader, pipelines: Mapping[str, PipelineSettings]) -> None:
    for name, pipeline in pipelines.items():
        for other in pipeline.after:
            if other not in pipelines:
                key = f"pipelines.{name}.after"
                message = f"{key} must name pipelines of this file, got {show(other)}{suggestion(other, pipelines)}"
                raise reader.error(message, key, hint=f"pipelines: {', '.join(pipelines)}")
    settled: set[str] = set()
    for start in pipelines:
        # Depth first without recursion: a file may hold a chain of thousands.
        path: dict[str, None] = {}  # a list with a quick `in`
        stack = [(start, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                settled.add(path.popitem()[0])
            elif name in path:
                above = list(path)
                cycle = [*above[above.index(name) :], name]
                key = f"pipelines.{cycle[0]}.after"
                message = f"{key} must not come back to itself, got the cycle {' -> '.join(cycle)}"
                raise reader.error(message, key, hint="remove one of these dependencies")
            elif name not in settled:
                path[name] = None
                stack.append((name, True))
                stack.extend((other, False) for other in pipelines[name].after)


def _check_outputs(reader: Reader, pipelines: Mapping[str, PipelineSettings], base: Path) -> None:
    def place(written: str) -> str:
        return os.path.normcase(os.path.realpath(_absolute(base, written)))

    writers: dict[str, str] = {}
    for name, pipeline in pipelines.items():
        output = getattr(pipeline, "output", None)
        if output is None:
            continue
        key = f"pipelines.{name}.output"
        first = writers.setdefault(place(output), name)
        if first != name:
            message = f"{key} must be a file of its own, got {show(output)}, which pipelines.{first} writes"
            raise reader.error(message, key)
        for field in ("source", "train", "test"):
            if place(output) in {place(entry) for entry in _read_by(getattr(pipeline, field, None))}:
                message = f"{key} must not be the pipeline's own {field}, got {show(output)}"
                raise reader.error(message, key)


def _read_by(source: Any) -> Sequence[str]:
    """Return the files that a source names."""
    if isinstance(source, QuerySettings):
        return () if is_dsn(source.database) else (source.database,)
    return source or ()


def _check_one_store(reader: Reader, pipelines: Mapping[str, PipelineSettings]) -> None:
    # A home has one store, and vectors of two models cannot be compared in it.
    documents = [(name, entry) for name, entry in pipelines.items() if isinstance(entry, DocumentsPipeline)]
    for field in ("store", "embedder"):
        named = [(name, getattr(entry, field)) for name, entry in documents if getattr(entry, field) != "auto"]
        for name, value in named[1:]:
            first, expected = named[0]
            if value != expected:
                key = f"pipelines.{name}.{field}"
                message = (
                    f"{key} must be {show(expected)} as in pipelines.{first}, since a home has one {field}, "
                    f"got {show(value)}"
                )
                raise reader.error(message, key, hint="use two files with two homes, or the same value")
