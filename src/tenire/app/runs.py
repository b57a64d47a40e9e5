"""Runs the pipelines of a configuration side by side."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.app.config import check_runnable
from tenire.app.control import controlled
from tenire.app.place import Place, choose_place, require_documents_extra
from tenire.app.publish import publishing
from tenire.app.tidying import tidy_in_idle_periods
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency import ConcurrencyManager
from tenire.documents.prepare import Prepared, PrepareOptions, prepare, recipe_identity
from tenire.errors import PipelineError, TenireError
from tenire.observe.machine import read_machine
from tenire.observe.memory import PeakMemory
from tenire.pipeline.document_recipe import DocumentRecipe
from tenire.pipeline.document_run import DocumentRun
from tenire.pipeline.files import FileSource, PathSource
from tenire.pipeline.home_session import HomeSession
from tenire.pipeline.model_worker import EMBEDDER_SLOTS
from tenire.pipeline.progress import PipelineProgress, RunReport
from tenire.pipeline.waits import seen
from tenire.storage.home import Home

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from tenire.app.config import Config
    from tenire.app.config_schema import DocumentsPipeline
    from tenire.app.control import EngineControl
    from tenire.concurrency.handle import Handle
    from tenire.protocols import SourceFile

__all__ = ["arun_config", "run_config"]

_SAMPLE_S = 0.5

_log = logging.getLogger("tenire.runs")


def run_config(
    config: Config,
    *,
    only: Sequence[str] = (),
    on_start: Callable[[dict[str, PipelineProgress]], None] | None = None,
    sources: Mapping[str, PathSource] | None = None,
) -> RunReport:
    """Run pipelines and wait for them; see ``arun_config``.

    Raises:
        KeyboardInterrupt: After Ctrl-C, once everything has stopped; what was
            finished is kept.
    """
    return asyncio.run(arun_config(config, only=only, on_start=on_start, sources=sources))


async def arun_config(
    config: Config,
    *,
    only: Sequence[str] = (),
    on_start: Callable[[dict[str, PipelineProgress]], None] | None = None,
    sources: Mapping[str, PathSource] | None = None,
) -> RunReport:
    """Run pipelines side by side.

    Args:
        config: A checked configuration.
        only: Names of the pipelines to run; empty for all.
        on_start: Called once with the live progress of each pipeline.
        sources: Files to read instead of a pipeline's own source.

    Returns:
        What was done. A pipeline that failed is in ``report.failed``; the others
        went on.

    Raises:
        TenireError: If nothing could start; then nothing was written.
    """
    # Looking at paths, packages and the machine may take a while on a slow disk.
    plan = await asyncio.to_thread(_plan, config, only, sources or {})
    started = SYSTEM_CLOCK.now()
    progress = {name: PipelineProgress(name) for name in plan.sources}
    session = HomeSession(plan.place.home, plan.place.open_store, clock=SYSTEM_CLOCK)
    async with session:
        manager = ConcurrencyManager(home=plan.place.home.path, cpu=plan.cpu, memory=plan.memory)
        telling = (session.home, manager, progress)
        async with (
            manager,
            publishing(*telling, clock=SYSTEM_CLOCK),
            controlled(*telling, clock=SYSTEM_CLOCK) as control,
        ):
            manager.data_manager.share(session.hold)
            tidy_in_idle_periods(manager, session, plan.place.store)
            await manager.submit(_begin, session, plan.place, config, list(plan.sources), on="thread", name="recover")
            manager.orchestrator.register_resource("embedder", EMBEDDER_SLOTS)
            if on_start is not None:
                on_start(progress)
            runs = {name: _document_run(name, config, plan, session, manager, progress[name]) for name in plan.sources}
            async with _watched(manager) as memory:
                await _run_all(config, runs, progress, control)
                ran = progress.values()
                if all(each.state == "done" for each in ran) and any(each.chunks for each in ran):
                    await manager.submit(session.forget_all, on="thread", name="forget memos")
    return RunReport(progress, SYSTEM_CLOCK.now() - started, memory.mib)


@asynccontextmanager
async def _watched(manager: ConcurrencyManager) -> AsyncIterator[PeakMemory]:
    """Look at the memory of engine and workers every now and then, and once more at the end."""
    workers = manager.thread_pool.statistics

    def look(fn: Callable[..., Any], *args: Any) -> Handle[Any]:
        return manager.submit(fn, *args, on="thread", name="measure memory")

    memory: PeakMemory = await look(PeakMemory, lambda: workers().processes.values())
    sampling = manager.control.every(_SAMPLE_S, lambda: look(memory.sample).add_done_callback(seen))
    try:
        yield memory
        await look(memory.sample)
    finally:
        sampling.cancel()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What was decided before anything starts.

    Attributes:
        place: Where passages go and who embeds them.
        sources: What each pipeline reads, in the order of the configuration.
        cpu: Slots to share out.
        memory: Bytes to share out.
        threads: Threads of the model's worker.
    """

    place: Place
    sources: Mapping[str, FileSource | PathSource]
    cpu: float
    memory: int
    threads: int


def _plan(config: Config, only: Sequence[str], sources: Mapping[str, PathSource]) -> _Plan:
    names = check_runnable(config, only)
    require_documents_extra()
    place = _place(config, names)
    machine = read_machine()
    cores = max(1, math.ceil(machine.usable_cores))
    cpu = config.tenire.cpu
    exclude = (place.home.path, place.store)
    return _Plan(
        place=place,
        sources={
            name: sources.get(name) or FileSource(_documents(config, name).source, config.base, exclude=exclude)
            for name in names
        },
        cpu=machine.default_cpu if cpu is None else cpu,
        memory=config.tenire.memory or machine.default_memory,
        threads=cores if cpu is None else min(cores, cpu),
    )


def _place(config: Config, names: Sequence[str]) -> Place:
    pipelines = [_documents(config, name) for name in names]
    store = next((pipeline.store for pipeline in pipelines if pipeline.store != "lancedb"), "lancedb")
    embedder = next((pipeline.embedder for pipeline in pipelines if pipeline.embedder != "auto"), "auto")
    return choose_place(Home(config.tenire.home), store=store, embedder=embedder)


def _documents(config: Config, name: str) -> DocumentsPipeline:
    pipeline = config.pipelines[name]
    assert pipeline.recipe == "documents"  # check_runnable has refused the others
    return pipeline  # type: ignore[return-value]


def _begin(session: HomeSession, place: Place, config: Config, names: Sequence[str]) -> None:
    place.record(session.ledger)
    _remember(session, config, names)
    session.recover()


def _remember(session: HomeSession, config: Config, names: Sequence[str]) -> None:
    """Keep what ``retry`` needs to run a pipeline again."""
    for name in names:
        pipeline = _documents(config, name)
        facts = {"max_file": pipeline.max_file, "weight": pipeline.weight, "priority": pipeline.priority}
        text = json.dumps(facts, sort_keys=True)
        if session.ledger.setting(f"pipeline:{name}") != text:
            session.ledger.remember(f"pipeline:{name}", text)


def _document_run(
    name: str,
    config: Config,
    plan: _Plan,
    session: HomeSession,
    manager: ConcurrencyManager,
    progress: PipelineProgress,
) -> DocumentRun:
    pipeline = _documents(config, name)
    options = PrepareOptions(max_file=pipeline.max_file)
    manager.orchestrator.configure_pipeline(name, weight=pipeline.weight, priority=pipeline.priority)
    recipe = DocumentRecipe(
        identity=recipe_identity(options),
        prepare=partial(_prepare, options),
        embed=plan.place.embed(plan.threads),
        model=plan.place.identity,
    )
    owns_all = not config.partial
    return DocumentRun(
        name, manager=manager, session=session, source=plan.sources[name], owns_all=owns_all, recipe=recipe,
        progress=progress, clock=SYSTEM_CLOCK,
    )  # fmt: skip


def _prepare(options: PrepareOptions, files: list[SourceFile], known: Mapping[str, str]) -> list[Prepared]:
    return prepare(files, options, known)


async def _run_all(
    config: Config, runs: Mapping[str, DocumentRun], progress: Mapping[str, PipelineProgress], control: EngineControl
) -> None:
    ended = {name: asyncio.Event() for name in runs}

    async def run(name: str) -> None:
        try:
            for other in config.pipelines[name].after:
                if other in ended:
                    await ended[other].wait()
                    _require(progress[other], name)
            await runs[name].run()
        except TenireError as error:
            _note_failure(progress[name], error)
        except Exception as error:  # noqa: BLE001 - logged, and told in the report
            # One pipeline's bug must not take the others down; the traceback is for --verbose.
            _log.debug("pipeline %s failed", name, exc_info=True)
            _note_failure(progress[name], error)

    def note_end(name: str, task: asyncio.Task[None]) -> None:
        # From a callback: a run that is cancelled before its first step never gets to say so.
        if task.cancelled():
            progress[name].state = "cancelled"
        ended[name].set()

    async with asyncio.TaskGroup() as tasks:
        for name in runs:
            task = tasks.create_task(run(name))
            task.add_done_callback(partial(note_end, name))
            control.adopt(name, task)


def _require(earlier: PipelineProgress, name: str) -> None:
    if earlier.state in ("failed", "cancelled"):
        how = "failed" if earlier.state == "failed" else "was cancelled"
        message = f"it runs after {earlier.name}, which {how}"
        raise PipelineError(message, pipeline=name)


def _note_failure(progress: PipelineProgress, error: Exception) -> None:
    progress.state = "failed"
    text = str(error) or type(error).__name__
    if not isinstance(error, TenireError):
        text = f"{type(error).__name__}: {text}"
    hint = getattr(error, "hint", None)
    progress.error = f"{text} ({hint})" if hint else text
