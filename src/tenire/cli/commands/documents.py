"""``ingest``, ``run`` and ``search``: documents in, passages out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from tenire.app.config import DEFAULT_FILE, Config, check_runnable, ingest_config, load_config
from tenire.cli.common import Settings
from tenire.cli.output import human_seconds
from tenire.errors import ConfigError
from tenire.vectors.question import MODES

__all__ = ["ingest", "run_file", "search"]

_UPGRADE = typer.Option("--upgrade-embedder", help="Have a store of another embedder embedded again by this one.")
_WATCH = typer.Option("--watch", help="Go on afterwards, and take in what changes, until Ctrl-C.")
_REPORT = typer.Option(metavar="FILE.html", help="Write a page with plots about the run.")
_DASHBOARD = typer.Option("--dashboard", help="Show it on a web page too, while it goes on; prints the address.")
_MOST_CONTEXT = 100


def ingest(
    settings: Settings,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Directories, files or patterns (quoted).")],
    store: Annotated[
        str | None, typer.Option(metavar="DIR_OR_DSN", help="Where the passages go. Default: inside the home.")
    ] = None,
    embedder: Annotated[str | None, typer.Option(metavar="NAME", help="auto, minilm or static. Default: auto.")] = None,
    upgrade_embedder: Annotated[bool, _UPGRADE] = False,
    watch: Annotated[bool, _WATCH] = False,
    dashboard: Annotated[bool, _DASHBOARD] = False,
    report: Annotated[str | None, _REPORT] = None,
    record: Annotated[str | None, typer.Option(metavar="FILE", hidden=True)] = None,
) -> int:
    """Read documents into a searchable store.

    What did not change since the last time is skipped.
    """
    config = ingest_config(paths, home=settings.home_path(), store=store, embedder=embedder)
    config = replace(config, upgrade_embedder=upgrade_embedder)
    return _run(settings, config, (), record, report, watch=watch, dashboard=dashboard)


def run_file(
    settings: Settings,
    file: Annotated[str, typer.Argument(metavar="FILE.toml", help="The configuration file.")] = DEFAULT_FILE,
    only: Annotated[list[str], typer.Option(metavar="NAME", help="Run only this pipeline; may be repeated.")] = [],  # noqa: B006 - typer copies it
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Show what it would ask of models and cost, and do nothing.")
    ] = False,
    upgrade_embedder: Annotated[bool, _UPGRADE] = False,
    watch: Annotated[bool, _WATCH] = False,
    dashboard: Annotated[bool, _DASHBOARD] = False,
    report: Annotated[str | None, _REPORT] = None,
    record: Annotated[str | None, typer.Option(metavar="FILE", hidden=True)] = None,
) -> int:
    """Run the pipelines of a configuration file side by side."""
    config = replace(load_config(Path(file), home=settings.given_home()), upgrade_embedder=upgrade_embedder)
    if estimate:
        return _estimate(settings, config, only)
    return _run(settings, config, only, record, report, watch=watch, dashboard=dashboard)


def _estimate(settings: Settings, config: Config, only: list[str]) -> int:
    from tenire.app.estimate import estimate

    report = estimate(config, only)
    output = settings.output
    if output.as_json:
        output.json(report.as_json())
        return 0
    from tenire.cli.tables import estimate_lines

    output.show(*estimate_lines(report))
    return 0


def _run(
    settings: Settings,
    config: Config,
    only: list[str] | tuple[str, ...],
    record: str | None,
    report: str | None,
    *,
    watch: bool,
    dashboard: bool,
) -> int:
    check_runnable(config, only)
    picture, page = _writable(record, "--record"), _writable(report, "--report")
    # Only these two commands draw and run; the others start without both.
    from tenire.cli.running import run_and_report

    return run_and_report(settings, config, only, record=picture, page=page, watch=watch, dashboard=dashboard)


def _writable(file: str | None, option: str) -> Path | None:
    if file is None:
        return None
    path = Path(file)
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise ConfigError(f'{option} must be a file in a directory that exists, got "{file}"', key=option)
    return path


def search(
    settings: Settings,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for.")],
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many passages to show.")] = 10,
    mode: Annotated[str, typer.Option(metavar="|".join(MODES), help="How to look for it.")] = "hybrid",
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every vector, bypassing the index.")] = False,
    where: Annotated[
        str | None, typer.Option(metavar="CONDITION", help="Only documents like: kind = pdf and date >= 2024")
    ] = None,
    around: Annotated[int, typer.Option("--context", metavar="N", help="Show so many neighbours on each side.")] = 0,
) -> int:
    """Find passages, best first, with their sources."""
    if k < 1:
        raise ConfigError(f"-k must be a positive whole number, got {k}", key="-k")
    if not 0 <= around <= _MOST_CONTEXT:
        raise ConfigError(f"--context must be a whole number from 0 to {_MOST_CONTEXT}, got {around}", key="--context")
    if mode not in MODES:
        raise ConfigError(f'--mode must be one of {", ".join(MODES)}, got "{mode}"', key="--mode")
    if not query.strip():
        raise ConfigError("QUERY must be a text that is not empty", key="QUERY")
    home = settings.home_path()
    from tenire.app.search import search as find

    result = find(home, query, k=k, mode=mode, exact=exact, where=where, context=around)
    output = settings.output
    if output.as_json:
        output.json(result)
        return 0
    from tenire.cli.snippets import show_hits

    found = list(result.hits)
    output.show(*show_hits(found, query))
    if not settings.quiet:
        count = "1 passage" if len(found) == 1 else f"{len(found)} passages"
        output.error_line(f"{count} in {human_seconds(result.seconds)} ({result.mode})", label="found")
    return 0
