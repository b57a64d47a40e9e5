"""Runs the pipelines of a configuration side by side."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tenire.app.control import controlled
from tenire.app.engines import connected, shown_to, use_cluster
from tenire.app.publish import Besides, publishing
from tenire.app.recipe_runs import Engine
from tenire.app.run_plan import RunPlan
from tenire.app.tidying import tidy_in_idle_periods
from tenire.clock import SYSTEM_CLOCK
from tenire.concurrency import ConcurrencyManager
from tenire.concurrency.blocking import run_blocking
from tenire.errors import PipelineError, TenireError
from tenire.observe.memory import PeakMemory
from tenire.pipeline.home_session import HomeSession
from tenire.pipeline.progress import PipelineProgress, RunReport
from tenire.pipeline.waits import seen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from tenire.app.config import Config
    from tenire.app.control import EngineControl
    from tenire.app.recipe_runs import PipelineRun, RecipeRuns
    from tenire.concurrency.handle import Handle
    from tenire.pipeline.files import PathSource

    Beside = Callable[[ConcurrencyManager], AbstractAsyncContextManager[object]]

__all__ = ["arun_config", "run_config"]

_SAMPLE_S = 0.5

_log = logging.getLogger("tenire.runs")


def run_config(
    config: Config,
    *,
    only: Sequence[str] = (),
    on_start: Callable[[dict[str, PipelineProgress]], None] | None = None,
    on_lost: Callable[[float], None] | None = None,
    sources: Mapping[str, PathSource] | None = None,
    retries: Iterable[str] = (),
    watch: bool = False,
    beside: Beside | None = None,
) -> RunReport:
    """Run pipelines and wait for them; see ``arun_config``.

    Raises:
        KeyboardInterrupt: After Ctrl-C, once everything has stopped; what was
            finished is kept.
    """
    running = arun_config(
        config, only=only, on_start=on_start, on_lost=on_lost, sources=sources, retries=retries, watch=watch,
        beside=beside,
    )  # fmt: skip
    return asyncio.run(running)


async def arun_config(
    config: Config,
    *,
    only: Sequence[str] = (),
    on_start: Callable[[dict[str, PipelineProgress]], None] | None = None,
    on_lost: Callable[[float], None] | None = None,
    sources: Mapping[str, PathSource] | None = None,
    retries: Iterable[str] = (),
    watch: bool = False,
    beside: Beside | None = None,
) -> RunReport:
    """Run pipelines side by side.

    Args:
        config: A checked configuration.
        only: Names of the pipelines to run; empty for all.
        on_start: Called once with the live progress of each pipeline.
        on_lost: Called once with ``RunReport.lost_usd``, as soon as it is known: who is interrupted gets no report.
        sources: Files to read instead of the own source of a documents pipeline.
        retries: Names of pipelines of rows of which only those rows are tried that
            are to be tried again.
        watch: Whether documents pipelines go on after their run and take in what changes,
            until they are cancelled.
        beside: Makes, for the engine, what is open on its loop while the pipelines run, from
            before ``on_start``: something that shows them.

    Returns:
        What was done. A pipeline that failed is in ``report.failed``; the others
        went on.

    Raises:
        TenireError: If nothing could start; then nothing was written.
    """
    # Looking at paths, packages and the machine may take a while on a slow disk.
    plan = await run_blocking(RunPlan.of, config, only, sources or {}, frozenset(retries), watch)
    started = SYSTEM_CLOCK.now()
    progress = {name: PipelineProgress(name) for name in plan.names}
    session = HomeSession(plan.home, plan.open_store, clock=SYSTEM_CLOCK)
    # The cluster first: where there is none, nothing is written.
    async with connected(config, cpu=plan.cpu) as cluster, session, shown_to(cluster, plan.home.path):
        cpu = plan.cpu if cluster is None else cluster.capacity().cpu
        manager = ConcurrencyManager(home=session.home.path, cpu=cpu, memory=plan.memory)
        telling = (session.home, manager, progress)
        besides = Besides(quotas=plan.calls.quotas, breakers=plan.calls.breakers)
        async with (
            manager,
            publishing(*telling, clock=SYSTEM_CLOCK, besides=besides),
            controlled(*telling, clock=SYSTEM_CLOCK, besides=besides) as control,
        ):
            if cluster is not None:
                use_cluster(cluster, manager)
            manager.data_manager.share(session.hold)
            control.on_cancel = partial(_give_up, manager, session)
            control.on_retry = partial(_try_again, manager, session)
            tidy_in_idle_periods(manager, session, plan.store)
            await manager.submit(_begin, session, plan.recipes, on="thread", name="recover")
            ended = {name: asyncio.Event() for name in plan.names}
            engine = Engine(manager, session, progress, plan.calls, ended)
            async with AsyncExitStack() as sharing:
                await sharing.enter_async_context(plan.calls.opened(manager, session.home))
                if on_lost is not None:
                    on_lost(plan.calls.lost_usd)
                for recipe in plan.recipes:
                    await sharing.enter_async_context(recipe.started(engine))
                made = {name: recipe.run_of(name, engine) for recipe in plan.recipes for name in recipe.names}
                if beside is not None:
                    await sharing.enter_async_context(beside(manager))
                if on_start is not None:
                    on_start(progress)
                async with _watched(manager) as memory:
                    besides.resident = lambda: memory.last
                    await _run_all(config, {name: made[name] for name in plan.names}, engine, control)
    return RunReport(progress, SYSTEM_CLOCK.now() - started, memory.mib, plan.calls.lost_usd)


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


async def _give_up(manager: ConcurrencyManager, session: HomeSession, pipeline: str) -> None:
    """Have the batches of a pipeline cancelled: those of one that only ends go on."""
    give_up = session.ledger.provider_batches.give_up
    await manager.submit(give_up, pipeline, on="thread", name="give up batches")


async def _try_again(manager: ConcurrencyManager, session: HomeSession, ids: list[str] | None) -> int:
    """Have the next run try entries of the quarantine again."""
    retry = session.ledger.quarantine.retry
    return len(await manager.submit(retry, ids, on="thread", name="retry from quarantine"))


def _begin(session: HomeSession, recipes: Sequence[RecipeRuns]) -> None:
    for recipe in recipes:
        recipe.record(session.ledger)
    session.recover()


async def _run_all(config: Config, runs: Mapping[str, PipelineRun], engine: Engine, control: EngineControl) -> None:
    progress, ended = engine.progress, engine.ended

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
