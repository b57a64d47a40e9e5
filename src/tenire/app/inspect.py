"""What a home holds, what it could not use, and whether it is whole."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tenire.app.boilerplate import lines_of
from tenire.app.config import check_runnable, load_config
from tenire.app.config_schema import Config, TenireSettings
from tenire.app.config_tables import PageSettings
from tenire.app.document_settings import pipeline_of
from tenire.app.place import drop_text_index, kept_store, open_recorded_store, set_store_aside
from tenire.app.published import read_published
from tenire.app.row_facts import remembered
from tenire.app.runs import run_config
from tenire.app.stores import built_at
from tenire.clock import SYSTEM_CLOCK
from tenire.errors import ConfigError, DamagedFileError, UnreadableStoreError
from tenire.pipeline.files import PathSource
from tenire.pipeline.home_session import HomeSession
from tenire.pipeline.progress import PipelineProgress, RunReport
from tenire.pipeline.repair import repair as forget_wrong
from tenire.pipeline.rows.output_check import check_outputs, write_outputs
from tenire.pipeline.verify import VerifyReport
from tenire.pipeline.verify import verify as compare
from tenire.storage.home import Home
from tenire.storage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tenire.app.boilerplate import Found
    from tenire.app.config_schema import DocumentsPipeline
    from tenire.app.published import PublishedPipeline
    from tenire.storage.filtered import FilteredSource

__all__ = [
    "FailedItem",
    "LeftOut",
    "RetryResult",
    "Verified",
    "boilerplate",
    "failed",
    "filtered",
    "repair",
    "retry",
    "status",
    "verify",
]


@dataclass(frozen=True, slots=True)
class FailedItem:
    """One entry of the quarantine.

    Attributes:
        id: Names it, for ``retry``.
        pipeline: The pipeline.
        source: The file, or ``FILE#ID`` for a row.
        stage: The stage that refused it.
        error: Why.
        attempts: How often it was tried; for a row, tries that got an answer.
        rule: The rule of the stage which it broke, or an empty string.
    """

    id: str
    pipeline: str
    source: str
    stage: str
    error: str
    attempts: int
    rule: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Entries of a pipeline that a retry of all left as they were.

    Attributes:
        entries: How many.
        reason: Why they cannot be tried.
        hint: What to do about it, or ``None``.
    """

    entries: int
    reason: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class RetryResult:
    """What a retry did.

    Attributes:
        requeued: Entries that were tried again.
        report: The run that tried them, or ``None`` if there was nothing to try here and now:
            what was described in Python waits for its program.
        left: What could not be tried, by the name of its pipeline.
    """

    requeued: int
    report: RunReport | None
    left: dict[str, LeftOut] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check found, and what it mended.

    Attributes:
        report: The comparison, after mending.
        forgotten: Sources that the next run stores again.
        aside: Where a store that could not be read is now.
        indexed: Whether a text index that was damaged was made anew.
    """

    report: VerifyReport
    forgotten: int = 0
    aside: Path | None = None
    indexed: bool = False


def status(home: Path) -> dict[str, Any]:
    """Return what is running and what is stored, as ``tenire status --json`` prints it.

    Raises:
        StoreError: If there is no home.
    """
    place = Home(home)
    place.require()
    owner = place.owner()
    with Ledger.read(place) as ledger:
        totals = ledger.totals()
    published = read_published(place)
    running = owner is not None
    pipelines: dict[str, dict[str, Any]] = {}
    for name, run in totals.pipelines.items():
        state = "interrupted" if run.state == "running" and not running else run.state
        # A run that goes on, or was killed, has written no totals yet.
        pipelines[name] = {**PipelineProgress(name).totals(), **run.totals, "state": state, "tasks": []}
    if published is not None:
        pipelines |= {name: _live(pipeline) for name, pipeline in published.pipelines.items()}
    sizes = {"store_bytes": 0, "text_bytes": 0, "text_stored_bytes": 0}
    if totals.chunks:
        store = open_recorded_store(place)
        try:
            sizes.update(store.sizes())
        finally:
            store.close()
    return {
        "running": running,
        "pid": owner,
        "answers": published is not None and published.answered,
        "level": published.level if published is not None else None,
        "load": published.load if published is not None else None,
        "reason": published.reason if published is not None else None,
        "overload": published.overload if published is not None else None,
        "components": msgspec.to_builtins(published.components) if published is not None else {},
        "quotas": msgspec.to_builtins(published.quotas) if published is not None else {},
        "pipelines": pipelines,
        "documents": totals.documents,
        "chunks": totals.chunks,
        "quarantined": totals.quarantined,
        **sizes,
    }


def _live(pipeline: PublishedPipeline) -> dict[str, Any]:
    tasks = [{"id": task.id, "state": task.state, "name": task.name} for task in pipeline.tasks]
    facts = {**pipeline.totals, "running": pipeline.running, "queued": pipeline.queued, "tasks": tasks}
    return facts | ({"priority": pipeline.priority} if pipeline.priority else {})


def failed(home: Path) -> list[FailedItem]:
    """Return the quarantine, oldest entry first.

    Raises:
        StoreError: If there is no home.
    """
    with Ledger.read(Home(home)) as ledger:
        return [
            FailedItem(entry.id, entry.pipeline, entry.source, entry.stage, entry.error, entry.attempts, entry.rule)
            for entry in ledger.quarantine.entries()
        ]


def filtered(home: Path) -> list[FilteredSource]:
    """Return what was filtered, by pipeline and source: done, and stored without passages.

    Raises:
        StoreError: If there is no home.
    """
    with Ledger.read(Home(home)) as ledger:
        return ledger.filtered.entries()


def boilerplate(home: Path) -> dict[str, Found]:
    """Return the lines that repeat over the documents of pipelines and are taken out of them, by pipeline.

    Raises:
        StoreError: If there is no home.
    """
    with Ledger.read(Home(home)) as ledger:
        return lines_of(ledger)


def retry(home: Path, ids: Sequence[str], all_: bool, on_lost: Callable[[float], None] | None = None) -> RetryResult:
    """Try entries of the quarantine again, now.

    Args:
        home: The home directory.
        ids: Which entries.
        all_: All of them; those of a pipeline that is not described any more are left.
        on_lost: Called by each run with its ``lost_usd``, as soon as it is known.

    Raises:
        ConfigError: If there is no such entry, or one that was named cannot be tried, or
            none of all can.
        HomeBusyError: If an engine runs on this home.
    """
    place = Home(home)
    entries = {item.id: item for item in failed(home)}
    unknown = next((entry for entry in ids if entry not in entries), None)
    if unknown is not None:
        message = f"there is no entry {unknown!r} in quarantine"
        raise ConfigError(message, key="ID", hint="tenire failed lists them")
    chosen = list(entries.values()) if all_ else [entries[entry] for entry in dict.fromkeys(ids)]
    if not chosen:
        return RetryResult(0, None)
    runs, unusable = _runs(place, chosen)
    usable = [item for item in chosen if item.pipeline not in unusable]
    if unusable and not (all_ and usable):
        raise next(iter(unusable.values()))
    counts = Counter(item.pipeline for item in chosen)
    left = {name: LeftOut(counts[name], str(error), error.hint) for name, error in unusable.items()}
    with HomeSession(place, lambda: open_recorded_store(place), clock=SYSTEM_CLOCK) as session:
        session.ledger.quarantine.retry([item.id for item in usable])
    if not runs:
        return RetryResult(len(usable), None, left)
    reports = [run(on_lost=on_lost) for run in runs]
    pipelines = {name: progress for report in reports for name, progress in report.pipelines.items()}
    seconds, peak = sum(report.seconds for report in reports), max(report.peak_rss_mib for report in reports)
    lost = sum(report.lost_usd for report in reports)
    return RetryResult(len(usable), RunReport(pipelines, seconds, peak, lost), left)


def _runs(home: Home, chosen: Sequence[FailedItem]) -> tuple[list[Callable[..., RunReport]], dict[str, ConfigError]]:
    """Return the runs that try entries again: one for all documents, and one for each file that describes rows.

    Beside them, by name, why pipelines have none: their file cannot be used any more, or does not name them.
    """
    names = sorted({item.pipeline for item in chosen})
    with Ledger.read(home) as ledger:
        facts = {name: remembered(ledger, name) for name in names}
        files = {entry.id: entry.container or entry.source for entry in ledger.quarantine.entries()}
    documents = [name for name in names if "file" not in facts[name]]
    runs: list[Callable[..., RunReport]] = []
    unusable: dict[str, ConfigError] = {}
    if documents:
        of = {name: tuple(files[item.id] for item in chosen if item.pipeline == name) for name in documents}
        settings = {name: _only(pipeline_of(facts[name]), of[name]) for name in documents}
        sources = {name: PathSource(of[name]) for name in documents if "pages" not in facts[name]}
        config = Config(
            tenire=TenireSettings(home=home.path), pipelines=dict(settings), quotas={}, base=home.path, partial=True
        )
        runs.append(partial(run_config, config, sources=sources))
    # What was described in Python has no file: its program tries these entries when it runs again.
    for file in sorted({facts[name]["file"] for name in names if name not in documents} - {None}):
        of_file = [name for name in names if facts[name].get("file") == file]
        try:
            config = load_config(Path(file), home=home.path)
            there = [name for name in of_file if name in config.pipelines]
            check_runnable(config, there)
        except ConfigError as error:
            unusable |= dict.fromkeys(of_file, error)
            continue
        unusable |= {name: _renamed(config, name) for name in of_file if name not in there}
        if there:  # no names would be all of them
            runs.append(partial(run_config, config, only=there, retries=there))
    return runs, unusable


def _renamed(config: Config, name: str) -> ConfigError:
    message = f'{config.file}: no pipeline is named "{name}" any more'
    hint = "give the pipeline that name again to have them tried"
    return ConfigError(message, file=str(config.file), key=f"pipelines.{name}", hint=hint)


def _only(pipeline: DocumentsPipeline, urls: tuple[str, ...]) -> DocumentsPipeline:
    """Return a pipeline of web pages that fetches only these, and any other as it is."""
    if not isinstance(pipeline.source, PageSettings):
        return pipeline
    source = msgspec.structs.replace(pipeline.source, urls=urls, depth=0)
    return msgspec.structs.replace(pipeline, source=source)


def verify(home: Path) -> VerifyReport:
    """Compare the ledger with the store, passage by passage, and with outputs, record by record.

    If no engine runs on the home, what a killed one left behind is settled first. Where the
    home cannot be written, a backup or another user's, that is left as it is and counted.

    Raises:
        StoreError: If there is nothing to compare.
        HomeBusyError: If an engine runs on this home.
    """
    place = Home(home)
    place.require()
    if os.access(place.path, os.W_OK):
        return _verify(place, mend=False).report
    with closing(Ledger.read(place, whole=True)) as ledger:
        outputs = check_outputs(ledger)
        if _is_empty(place, ledger):
            return _of_nothing(ledger).with_outputs(outputs)
        with closing(open_recorded_store(place)) as store:
            return compare(ledger, store).with_outputs(outputs)


def repair(home: Path) -> Verified:
    """Forget what does not agree, so that the next run stores it again, and compare.

    A store that is gone is made anew, empty. So is one that cannot be read although its files can;
    it is kept beside the new one. A text index that is damaged is made anew from the passages. Outputs
    are written anew where they differ.

    Raises:
        StoreError: If there is nothing to repair, or it cannot be written.
        HomeBusyError: If an engine runs on this home.
    """
    place = Home(home)
    place.require()
    aside, indexed = None, False
    while True:
        try:
            return replace(_verify(place, mend=True), aside=aside, indexed=indexed)
        except DamagedFileError as error:
            if indexed or not drop_text_index(place, error.path):
                raise
            indexed = True
        except UnreadableStoreError:
            if aside is not None:
                raise
            aside = set_store_aside(place)
            if aside is None:
                raise


def _verify(place: Home, *, mend: bool) -> Verified:
    with HomeSession(place, lambda: open_recorded_store(place, make=mend), clock=SYSTEM_CLOCK) as session:
        session.recover()
        write_outputs(session.ledger, all_=mend)
        outputs = check_outputs(session.ledger)
        if _is_empty(place, session.ledger):
            return Verified(_of_nothing(session.ledger).with_outputs(outputs))
        store = session.open_store()
        forgotten = forget_wrong(session.ledger, store).forgotten if mend else 0
        return Verified(compare(session.ledger, store).with_outputs(outputs), forgotten)


def _is_empty(home: Home, ledger: Ledger) -> bool:
    """Return whether nothing was stored, so that there is no store either."""
    store = kept_store(home, ledger)
    return not ledger.totals().chunks and (store is None or built_at(store) is None)


def _of_nothing(ledger: Ledger) -> VerifyReport:
    return VerifyReport(True, ledger.totals().documents, chunks=0, missing=0, orphans=0, duplicates=0)
